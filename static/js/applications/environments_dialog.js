/** The environments in their order of promotion: who must agree to a deploy there, and what it must have passed before. */
import { change, etagOf, get, getAll } from "../api/client.js";
import { counted, number } from "../lib/formats.js";
import ko from "../lib/ko.js";
import { Form } from "../widgets/form.js";

const EMPTY = { name: "", position: "", approvals: "0", promote_from: "" };

export class EnvironmentsDialog {
  /** done(): what then, after each change. */
  constructor(shell, done) {
    Object.assign(this, { shell, done });
    this.isOpen = ko.observable(false);
    this.rows = ko.observableArray();
    this.told = ko.observable("");
    this.existing = ko.observable(null); // The environment (API shape) that the form changes; null: it adds one.
    this.changed = ko.pureComputed(() => this.existing()?.name ?? "");
    this.isNew = ko.pureComputed(() => !this.changed());
    this.others = ko.pureComputed(() => this.rows().map(({ name }) => name).filter((name) => name !== this.changed()));
    this.action = ko.pureComputed(() => (this.changed() ? `Change ${this.changed()}` : "Add the environment"));
    this.form = new Form({
      initial: EMPTY,
      submit: (values, key) => this.submit(values, key),
      done: async ({ name }) => {
        this.begin(`${name} is saved.`);
        await this.load();
        await this.done();
      },
    });
    this.close = () => this.isOpen(false);
    this.leave = () => this.begin("");
    this.changeOne = ({ name }) => shell.attempt(async () => this.fill(await get(["environments", name])));
    this.remove = (row) => this.askRemove(row);
    this.open = () => shell.attempt(async () => {
      await this.load();
      this.begin("");
      this.isOpen(true);
    });
  }

  async load() {
    const { items } = await getAll(["environments"]);
    this.rows(items.map(({ name, position, approvals, promote_from: from }) => ({
      name, position, changeName: `Change ${name}`, deleteName: `Delete ${name}`,
      needs: [approvals && `${counted(approvals, "approval")} of others`, from && `a release that succeeded in ${from}`].filter(Boolean).join(", ") || "nothing",
    })));
  }

  /** Empty the form for a new environment. */
  begin(told) {
    this.existing(null);
    this.told(told);
    this.form.reset(EMPTY);
  }

  fill(existing) {
    const { name, position, approvals, promote_from: from } = existing;
    this.told("");
    this.existing(existing);
    this.form.reset({ name, position: String(position), approvals: String(approvals), promote_from: from ?? "" });
  }

  /** What is left as it is is not sent: approvals and promotion are for administrators. */
  submit(values, key) {
    const before = this.existing() ?? { approvals: 0, promote_from: null };
    const fields = {};
    if (values.position.trim()) fields.position = number(values.position);
    if (values.approvals.trim() !== String(before.approvals)) fields.approvals = number(values.approvals);
    if (values.promote_from !== (before.promote_from ?? "")) fields.promote_from = values.promote_from || null;
    if (this.isNew()) return change("POST", ["environments"], { name: values.name.trim(), ...fields }, { key });
    const path = ["environments", this.changed()];
    return change("PATCH", path, fields, { ifMatch: etagOf(path) });
  }

  askRemove({ name }) {
    this.shell.confirm.ask({
      title: `Delete the environment ${name}?`,
      facts: [{ name: "Environment", value: name }],
      warning: "Its place and its rules are lost. It can be deleted only while nothing was ever deployed there and no target is there.",
      action: "Delete",
      isDangerous: true,
      run: () => change("DELETE", ["environments", name]),
      done: async () => {
        this.begin("");
        await this.load();
        await this.done();
      },
    });
  }
}
