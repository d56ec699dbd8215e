/** The form for a new token, and then its secret: shown once, to be copied. */
import { change } from "./api.js";
import { Form } from "./form.js";
import ko from "./ko.js";

export class TokenForm {
  constructor(done) {
    this.isOpen = ko.observable(false);
    this.secret = ko.observable("");
    this.copied = ko.observable("");
    this.form = new Form({
      initial: { name: "", expires_at: "" },
      submit: ({ name, expires_at: ends }, key) => change("POST", ["tokens"], { name: name.trim(), ...endOf(ends) }, { key }),
      done: (token) => {
        this.secret(token.secret);
        return done();
      },
    });
    this.isMade = ko.pureComputed(() => Boolean(this.secret()));
    this.canCopy = Boolean(navigator.clipboard); // Browsers have it on https and on this machine only.
    this.isOpen.subscribe((isOpen) => isOpen || this.forget());
    this.close = () => this.isOpen(false);
    this.open = () => {
      this.form.reset();
      this.isOpen(true);
    };
    this.copy = () => this.toClipboard();
  }

  forget() {
    this.secret("");
    this.copied("");
  }

  async toClipboard() {
    try {
      await navigator.clipboard.writeText(this.secret());
      this.copied("Copied.");
    } catch {
      this.copied("The browser does not allow it: select the secret and copy it.");
    }
  }
}

/** Return {expires_at} for a local time of an input, nothing for an empty one. */
function endOf(text) {
  const time = new Date(text);
  if (!text) return {};
  return { expires_at: Number.isNaN(time.getTime()) ? text : time.toISOString() };
}
