/** The form that closes a target to its users, and the question before it is opened again. */
import { change } from "../api/client.js";
import ko from "../lib/ko.js";
import { Form } from "../widgets/form.js";

const EMPTY = { reason: "", message: "", retry_after_s: "300" };

export class MaintenanceForm {
  /** application: its name. done(): what then. */
  constructor(shell, application, done) {
    Object.assign(this, { shell, application, done });
    this.isOpen = ko.observable(false);
    this.environment = ko.observable("");
    this.title = ko.pureComputed(() => `Put ${application} in ${this.environment()} into maintenance`);
    this.form = new Form({
      initial: EMPTY,
      submit: (values, key) => change("PUT", this.path(), bodyOf(values), { key }),
      done: () => {
        this.isOpen(false);
        return done();
      },
    });
    this.close = () => this.isOpen(false);
  }

  path() {
    return ["applications", this.application, "targets", this.environment(), "maintenance"];
  }

  show(environment) {
    this.environment(environment);
    this.form.reset(EMPTY);
    this.isOpen(true);
  }

  askLift(environment) {
    this.environment(environment);
    this.shell.confirm.ask({
      title: `Open ${this.application} in ${environment} again?`,
      facts: [{ name: "Application", value: this.application }, { name: "Environment", value: environment }],
      action: "Lift maintenance",
      run: (key) => change("DELETE", this.path(), undefined, { key }),
      done: () => this.done(),
    });
  }
}

function bodyOf({ reason, message, retry_after_s: after }) {
  const seconds = String(after).trim();
  return {
    reason: reason.trim() || null,
    message: message.trim() || null,
    retry_after_s: seconds === "" ? null : Number.isNaN(Number(seconds)) ? seconds : Number(seconds),
  };
}

/** Return what is said of a closed target ({holder, reason, since}); nothing for an open one. */
export function closedText(closed) {
  if (!closed) return "";
  return `closed by ${closed.holder}${closed.reason ? `: ${closed.reason}` : ""}`;
}
