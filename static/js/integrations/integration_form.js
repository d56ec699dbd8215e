/** The form for a new or an existing integration; its inputs are those that the driver's schemas ask for. */
import { change, etagOf, get } from "../api/client.js";
import ko from "../lib/ko.js";
import { Form } from "../widgets/form.js";
import { inputsOf, labelOf, textOf, valuesOf } from "./schema_fields.js";

const WEBHOOK = "webhook"; // Its integrations have a form of their own.
const KEEP = "keep"; // The credentials that are stored stay.
const NONE = "";
const SHOWN_CREDENTIALS = new Set(["username", "email", "header"]); // Names, no secrets; all others are typed unseen.
const LONG_CREDENTIALS = new Set(["ssh_key"]);

export class IntegrationForm {
  constructor(shell, done) {
    this.isOpen = ko.observable(false);
    this.opened = ko.observable(null);
    this.open = () => shell.attempt(() => this.show(null));
    this.edit = (name) => shell.attempt(async () => this.show(await get(["integrations", name])));
    this.close = () => this.isOpen(false);
    this.done = (integration) => {
      this.isOpen(false);
      return done(integration);
    };
  }

  async show(existing) {
    const { items } = await get(["integrations", "drivers"]);
    this.opened(new OpenedForm(items.filter(({ name }) => name !== WEBHOOK), existing, this));
    this.isOpen(true);
  }
}

/** The form while it is open: for one integration, or a new one. */
class OpenedForm {
  constructor(drivers, existing, { done, close }) {
    this.existing = existing;
    this.drivers = drivers;
    this.close = close;
    this.isNew = !existing;
    this.title = existing ? `Edit ${existing.name}` : "Add an integration";
    this.choices = drivers.map(({ name, role, summary }) => ({ name, label: `${name} (${role}): ${summary}` }));
    this.form = new Form({
      initial: this.initial(),
      submit: (values, key) => this.submit(values, key),
      done,
      fieldOf: (field) => (field === "credentials" ? "kind" : field.split(".").slice(0, 2).join(".")),
    });
    this.describe();
  }

  /** Values of all inputs that any driver has, so that they stay while one is tried after the other. */
  initial() {
    const { existing, drivers } = this;
    const values = {
      name: "", driver: existing?.driver ?? drivers[0]?.name ?? "", url: existing?.url ?? "",
      kind: existing?.credentials?.length ? KEEP : NONE,
    };
    for (const driver of drivers) {
      for (const input of inputsOf(driver.settings, "settings")) values[input.name] ??= input.initial;
      for (const { fields } of driver.credential_kinds) for (const field of fields) values[`credentials.${field}`] = "";
    }
    for (const [name, value] of Object.entries(existing?.settings ?? {})) values[`settings.${name}`] = textOf(value);
    return values;
  }

  describe() {
    const { values } = this.form;
    this.driver = ko.pureComputed(() => this.drivers.find(({ name }) => name === values.driver()) ?? this.drivers[0]);
    this.settings = ko.pureComputed(() => inputsOf(this.driver()?.settings, "settings"));
    this.urlHint = ko.pureComputed(() => this.driver()?.default_url ?? "https://…");
    this.isElsewhere = ko.pureComputed(() =>
      Boolean(this.existing?.credentials?.length) && values.url().trim() !== (this.existing.url ?? ""));
    this.kinds = ko.pureComputed(() => this.kindsNow());
    this.hasKinds = ko.pureComputed(() => this.driver().credential_kinds.length > 0);
    this.credentials = ko.pureComputed(() => {
      const kind = this.driver().credential_kinds.find(({ name }) => name === values.kind());
      return (kind?.fields ?? []).map((field) => ({
        name: `credentials.${field}`, label: labelOf(field), isLong: LONG_CREDENTIALS.has(field),
        isLine: !LONG_CREDENTIALS.has(field), type: SHOWN_CREDENTIALS.has(field) ? "text" : "password",
      }));
    });
    const choose = () => {
      const names = this.kinds().map(({ name }) => name);
      if (!names.includes(values.kind())) values.kind(this.kindNow(names));
    };
    this.kinds.subscribe(choose);
    choose();
  }

  kindsNow() {
    const kinds = this.driver().credential_kinds.map(({ name, fields }) => ({ name, label: fields.map(labelOf).join(" and ") }));
    const keep = this.existing?.credentials?.length && !this.isElsewhere();
    return [
      ...(keep ? [{ name: KEEP, label: `as they are (${this.existing.credentials.join(", ")})` }] : []),
      ...(this.driver().needs_credentials ? [] : [{ name: NONE, label: "none" }]), ...kinds];
  }

  /** Return the kind to begin with: the one that is stored, else the first. */
  kindNow(names) {
    const stored = (this.existing?.credentials ?? []).join();
    const same = this.driver().credential_kinds.find(({ fields }) => stored && [...fields].sort().join() === stored);
    return same?.name ?? names[0];
  }

  submit(values, key) {
    const fields = { url: values.url.trim() || null };
    const settings = valuesOf(this.settings(), values);
    if (this.existing || Object.keys(settings).length) fields.settings = settings;
    if (values.kind !== KEEP) fields.credentials = this.credentialsOf(values);
    if (!this.existing) {
      const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
      return change("POST", ["integrations"], { name: values.name.trim(), driver: values.driver, ...given }, { key });
    }
    const path = ["integrations", this.existing.name];
    return change("PATCH", path, fields, { ifMatch: etagOf(path) });
  }

  credentialsOf(values) {
    const given = this.credentials().map(({ name }) => [name.split(".")[1], values[name]]).filter(([, value]) => value);
    return given.length ? Object.fromEntries(given) : null;
  }
}
