/** The form for a new or an existing webhook, and then its secret where there is a new one: shown once, to be copied. */
import { change, etagOf, get } from "../api/client.js";
import ko from "../lib/ko.js";
import { Form } from "../widgets/form.js";
import { SecretOnce } from "../widgets/secret_once.js";
import { textOf } from "./schema_fields.js";

export const CHOICES = ["events", "applications", "environments"];
const EMPTY = { name: "", url: "", events: "", applications: "", environments: "" };
const SECRET_BYTES = 32;

export class WebhookForm {
  /** done(): what then, after each change. */
  constructor(shell, done) {
    Object.assign(this, { shell, done });
    this.isOpen = ko.observable(false);
    this.existing = ko.observable(null);
    this.secret = new SecretOnce(this.isOpen);
    this.isNew = ko.pureComputed(() => !this.existing());
    this.title = ko.pureComputed(() => (this.existing() ? `Edit the webhook ${this.existing().name}` : "Add a webhook"));
    this.form = new Form({
      initial: EMPTY,
      submit: (values, key) => this.submit(values, key),
      done: (secret) => {
        if (secret) this.secret.show(secret);
        else this.isOpen(false);
        return done();
      },
      fieldOf: (field) => field.split(".")[0],
    });
    this.isElsewhere = ko.pureComputed(() => Boolean(this.existing()) && this.form.values.url().trim() !== this.existing().url);
    this.isMade = this.secret.isShown;
    this.close = () => this.isOpen(false);
    this.open = () => this.show(null);
    this.edit = (name) => shell.attempt(async () => this.show(await get(["webhooks", name])));
  }

  show(existing) {
    this.existing(existing);
    this.form.reset(existing ? { ...EMPTY, name: existing.name, url: existing.url, ...textsOf(existing) } : EMPTY);
    this.isOpen(true);
  }

  /** Save; returns the webhook's secret where it has a new one. */
  async submit(values, key) {
    const fields = { url: values.url.trim(), ...Object.fromEntries(CHOICES.map((name) => [name, wordsOf(values[name])])) };
    if (this.isNew()) return (await change("POST", ["webhooks"], { name: values.name.trim(), ...fields }, { key })).secret;
    const secret = this.isElsewhere() ? { secret: freshSecret() } : {}; // A secret follows nobody to another place.
    const path = ["webhooks", this.existing().name];
    await change("PATCH", path, { ...fields, ...secret }, { ifMatch: etagOf(path) });
    return secret.secret;
  }

  askNewSecret({ name, url }) {
    this.shell.confirm.ask({
      title: `Make a new secret for ${name}?`,
      facts: [{ name: "Webhook", value: name }, { name: "URL", value: url }],
      warning: "What is sent from now on is signed with it: whoever receives it refuses it until they have the new one.",
      action: "Make a new secret",
      run: async () => {
        const secret = freshSecret();
        this.show(await change("PATCH", ["webhooks", name], { secret }));
        this.secret.show(secret);
      },
      done: () => this.done(),
    });
  }
}

/** Return the texts of inputs for what a webhook is told. */
function textsOf(webhook) {
  return Object.fromEntries(CHOICES.map((name) => [name, textOf(webhook[name])]));
}

/** Return the words of an input, null for none: everything. */
function wordsOf(text) {
  const words = text.split(/[\s,]+/).filter(Boolean);
  return words.length ? words : null;
}

/** Return a secret as Standard Webhooks writes it. */
function freshSecret() {
  const bytes = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  return `whsec_${btoa(String.fromCharCode(...bytes))}`;
}
