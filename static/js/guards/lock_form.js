/** The form that locks a target, and the question before it is unlocked. */
import { change } from "../api/client.js";
import { absolute } from "../lib/formats.js";
import ko from "../lib/ko.js";
import { Form } from "../widgets/form.js";

const EMPTY = { reason: "", hours: "" };

export class LockForm {
  /** application: its name. done(): what then. */
  constructor(shell, application, done) {
    Object.assign(this, { shell, application, done });
    this.isOpen = ko.observable(false);
    this.environment = ko.observable("");
    this.title = ko.pureComputed(() => `Lock ${application} in ${this.environment()}`);
    this.form = new Form({
      initial: EMPTY,
      submit: (values, key) => change("PUT", this.path(), bodyOf(values), { key }),
      done: () => {
        this.isOpen(false);
        return done();
      },
      fieldOf: (field) => (field === "for_s" ? "hours" : field),
    });
    this.close = () => this.isOpen(false);
  }

  path() {
    return ["applications", this.application, "targets", this.environment(), "lock"];
  }

  show(environment) {
    this.environment(environment);
    this.form.reset(EMPTY);
    this.isOpen(true);
  }

  /** Ask, then unlock; somebody else's lock is broken only after that was said. */
  askUnlock(environment, lock) {
    this.environment(environment);
    const isOurs = lock.holder === this.shell.user()?.name;
    this.shell.confirm.ask({
      title: isOurs ? `Unlock ${this.application} in ${environment}?` : `Break the lock of ${lock.holder}?`,
      facts: [
        { name: "Application", value: this.application },
        { name: "Environment", value: environment },
        { name: "Locked by", value: lock.holder },
        { name: "Because", value: lock.reason },
        { name: "Until", value: lock.expires_at ? absolute(Date.parse(lock.expires_at)) : "" },
      ],
      warning: isOurs ? "Deploys of others that waited begin." : `${lock.holder} wants nobody to deploy now. That the lock was broken, and by whom, is written down.`,
      action: isOurs ? "Unlock" : "Break the lock",
      isDangerous: !isOurs,
      run: () => change("DELETE", this.path(), undefined, isOurs ? {} : { query: { force: true } }),
      done: () => this.done(),
    });
  }
}

function bodyOf({ reason, hours }) {
  const given = String(hours).trim().replace(",", ".");
  const body = { reason: reason.trim() };
  return given === "" ? body : { ...body, for_s: Number.isNaN(Number(given)) ? given : Math.round(Number(given) * 3600) };
}

/** Return what is said of a lock ({holder, reason, expires_at}); nothing where there is none. */
export function lockedText(lock) {
  if (!lock) return "";
  const until = lock.expires_at ? ` until ${absolute(Date.parse(lock.expires_at))}` : "";
  return `locked by ${lock.holder}${until}: ${lock.reason}`;
}
