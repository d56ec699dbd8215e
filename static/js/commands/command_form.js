/** The form for a one-off command, and the dialog that shows what exactly will run where before it does. */
import { ApiError, change, getAll } from "../api/client.js";
import ko from "../lib/ko.js";
import { Form } from "../widgets/form.js";
import { lineOf, wordsOf } from "./words.js";

const EMPTY = { place: "hosts", hosts: "", application: "", environment: "", command: "", time_limit_s: "60" };

export class CommandForm {
  constructor(shell) {
    this.shell = shell;
    this.isOpen = ko.observable(false);
    this.applications = ko.observableArray();
    this.environments = ko.observableArray();
    this.form = new Form({
      initial: EMPTY,
      submit: async (values) => bodyOf(values),
      done: (body) => this.confirm(body),
    });
    this.isOnHosts = ko.pureComputed(() => this.form.values.place() === "hosts");
    this.close = () => this.isOpen(false);
    this.open = () => shell.attempt(() => this.show());
  }

  async show() {
    const [applications, environments] = await Promise.all([getAll(["applications"]), getAll(["environments"])]);
    this.applications(applications.items.map(({ name }) => name));
    this.environments(environments.items.map(({ name }) => name));
    this.form.reset(EMPTY);
    this.isOpen(true);
  }

  /** Ask once more, naming every word; what the server refuses is said there, and the form keeps what was typed. */
  confirm(body) {
    this.isOpen(false);
    this.shell.confirm.ask({
      title: "Run this command?",
      facts: [
        { name: "Words", value: body.argv.map((word) => `“${word}”`).join(" ") },
        { name: "On", value: (body.hosts ?? []).join(", ") },
        { name: "Application", value: body.application },
        { name: "Environment", value: body.environment },
        { name: "Time limit", value: body.time_limit_s === undefined ? "" : `${body.time_limit_s} s` },
      ],
      warning: "It runs at once, is never repeated, and is written into the audit trail word by word.",
      action: `Run ${lineOf(body.argv.slice(0, 1))}`,
      isDangerous: true,
      run: (key) => change("POST", ["commands"], body, { key }),
      done: ({ id }) => location.assign(`/commands/${id}`),
    });
  }
}

/** Return the body of a request; throws what the form shows beside a field. */
function bodyOf({ place, hosts, application, environment, command, time_limit_s: limit }) {
  const names = hosts.split(/[\s,]+/).filter(Boolean);
  const argv = wordsOf(command);
  const seconds = limit.trim();
  if (argv === null) throw wrong("command", "A quote is not closed.");
  if (!argv.length) throw wrong("command", "Say what is to be run.");
  if (place === "hosts" && !names.length) throw wrong("hosts", "Name at least one host.");
  if (place !== "hosts" && !application) throw wrong("application", "Choose an application.");
  if (place !== "hosts" && !environment) throw wrong("environment", "Choose an environment.");
  if (seconds && !/^[0-9]+$/.test(seconds)) throw wrong("time_limit_s", "Use a number of seconds.");
  const where = place === "hosts" ? { hosts: names } : { application, environment };
  return { argv, ...where, ...(seconds ? { time_limit_s: Number(seconds) } : {}) };
}

function wrong(field, message) {
  return new ApiError(422, { code: "invalid", detail: message, errors: [{ field, message }] });
}
