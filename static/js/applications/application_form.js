/** The form for a new or an existing application: a git repository or a package. */
import { change, etagOf } from "../api/client.js";
import ko from "../lib/ko.js";
import { Form } from "../widgets/form.js";

const FIELDS = {
  source: "repository", "source.repository": "repository", "source.branch": "branch", "source.package": "package",
  "source.integration": "integration",
};
const EMPTY = { name: "", kind: "repository", repository: "", branch: "", package: "", integration: "", team: "" };

export class ApplicationForm {
  /** existing: an application (API shape) to change, or nothing for a new one. done(application): what then. */
  constructor(done) {
    this.isOpen = ko.observable(false);
    this.existing = ko.observable(null);
    this.title = ko.pureComputed(() => (this.existing() ? `Edit ${this.existing().name}` : "Add an application"));
    this.form = new Form({
      initial: EMPTY,
      submit: (values, key) => this.submit(values, key),
      done: (application) => {
        this.isOpen(false);
        return done(application);
      },
      fieldOf: (field) => FIELDS[field] ?? field,
    });
    this.isPackage = ko.pureComputed(() => this.form.values.kind() === "package");
    this.isNew = ko.pureComputed(() => !this.existing());
    this.close = () => this.isOpen(false);
    this.open = () => this.show(null);
  }

  show(existing) {
    this.existing(existing);
    const source = existing?.source ?? {};
    this.form.reset({
      ...EMPTY, name: existing?.name ?? "", team: existing?.team ?? "", integration: source.integration ?? "",
      kind: source.package ? "package" : "repository", repository: source.repository ?? "", branch: source.branch ?? "",
      package: source.package ?? "",
    });
    this.isOpen(true);
  }

  submit(values, key) {
    const existing = this.existing();
    if (!existing) return change("POST", ["applications"], { name: values.name.trim(), ...bodyOf(values) }, { key });
    const path = ["applications", existing.name];
    return change("PATCH", path, bodyOf(values), { ifMatch: etagOf(path) });
  }
}

function bodyOf(values) {
  const trimmed = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value.trim()]));
  const names = trimmed.kind === "package" ? ["package"] : ["repository", "branch"];
  const source = Object.fromEntries(names.map((name) => [name, trimmed[name]]).filter(([, value]) => value));
  if (trimmed.integration) source.integration = trimmed.integration;
  return { source, team: trimmed.team || null };
}
