/** The form for a new token, and then its secret: shown once, to be copied. */
import { change } from "../api/client.js";
import ko from "../lib/ko.js";
import { Form } from "../widgets/form.js";
import { SecretOnce } from "../widgets/secret_once.js";

export class TokenForm {
  constructor(done) {
    this.isOpen = ko.observable(false);
    this.secret = new SecretOnce(this.isOpen);
    this.form = new Form({
      initial: { name: "", expires_at: "" },
      submit: ({ name, expires_at: ends }, key) => change("POST", ["tokens"], { name: name.trim(), ...endOf(ends) }, { key }),
      done: (token) => {
        this.secret.show(token.secret);
        return done();
      },
    });
    this.isMade = this.secret.isShown;
    this.close = () => this.isOpen(false);
    this.open = () => {
      this.form.reset();
      this.isOpen(true);
    };
  }
}

/** Return {expires_at} for a local time of an input, nothing for an empty one. */
function endOf(text) {
  const time = new Date(text);
  if (!text) return {};
  return { expires_at: Number.isNaN(time.getTime()) ? text : time.toISOString() };
}
