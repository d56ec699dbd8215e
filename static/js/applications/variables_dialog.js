/** The variables of a target: shown, set and removed one by one; secret values are written and never read. */
import { change, get } from "../api/client.js";
import ko from "../lib/ko.js";
import { Form } from "../widgets/form.js";

const EMPTY = { name: "", value: "", isSecret: false };

export class VariablesDialog {
  constructor(shell, application) {
    this.shell = shell;
    this.application = application;
    this.isOpen = ko.observable(false);
    this.environment = ko.observable("");
    this.rows = ko.observableArray();
    this.told = ko.observable("");
    this.title = ko.pureComputed(() => `Variables in ${this.environment()}`);
    this.isEmpty = ko.pureComputed(() => !this.rows().length);
    this.form = new Form({
      initial: EMPTY,
      submit: (values) => this.set(values),
      done: (found) => {
        this.told(`${this.form.values.name().trim()} is set. It takes effect with the next deploy.`);
        this.form.reset();
        this.take(found);
      },
      fieldOf: (field) => (field.endsWith("[key]") || !this.form.values.name() ? "name" : "value"),
    });
    this.close = () => this.isOpen(false);
    this.remove = (row) => this.askRemove(row);
    this.changeOne = ({ name, value, isSecret }) => this.form.reset({ name, value: isSecret ? "" : value, isSecret });
  }

  show(environment) {
    return this.shell.attempt(async () => {
      this.environment(environment);
      this.told("");
      this.form.reset();
      this.take(await get(this.path()));
      this.isOpen(true);
    });
  }

  path() {
    return ["applications", this.application, "targets", this.environment(), "variables"];
  }

  take({ variables }) {
    this.rows(Object.entries(variables).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, given]) => {
      const isSecret = typeof given === "object";
      return {
        name, isSecret, value: isSecret ? "" : given, text: isSecret ? "secret: never shown" : given,
        changeName: `Change ${name}`, removeName: `Remove ${name}`,
      };
    }));
  }

  set({ name, value, isSecret }) {
    this.told("");
    return change("PATCH", this.path(), { variables: { [name.trim()]: isSecret ? { value, secret: true } : value } });
  }

  askRemove({ name }) {
    this.shell.confirm.ask({
      title: `Remove the variable ${name}?`,
      facts: [{ name: "Application", value: this.application }, { name: "Environment", value: this.environment() }],
      warning: "The next deploy starts the processes without it.",
      action: "Remove",
      isDangerous: true,
      run: () => change("PATCH", this.path(), { variables: { [name]: null } }),
      done: (found) => this.take(found),
    });
  }
}
