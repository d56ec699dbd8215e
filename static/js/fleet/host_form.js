/** The form for a new or an existing host, with the public key that has to be installed there. */
import { change, etagOf, get, getAll } from "../api/client.js";
import ko from "../lib/ko.js";
import { Form } from "../widgets/form.js";

const EMPTY = { name: "", address: "", port: "22", user: "", zone: "", tags: "", transport: "ssh", root: "" };
const CHANGEABLE = ["address", "user", "zone", "root"];

export class HostForm {
  constructor(shell, done) {
    this.isOpen = ko.observable(false);
    this.existing = ko.observable(null);
    this.zones = ko.observableArray();
    this.form = new Form({
      initial: EMPTY,
      submit: (values, key) => this.submit(values, key),
      done: (host) => {
        this.isOpen(false);
        return done(host);
      },
      fieldOf: (field) => field.split(".")[0],
    });
    const { values } = this.form;
    this.isNew = ko.pureComputed(() => !this.existing());
    this.title = ko.pureComputed(() => (this.existing() ? `Edit ${this.existing().name}` : "Add a host"));
    this.isSsh = ko.pureComputed(() => values.transport() === "ssh");
    this.publicKey = ko.pureComputed(() => this.zones().find(({ name }) => name === values.zone())?.public_key ?? "");
    this.close = () => this.isOpen(false);
    this.open = () => shell.attempt(() => this.show(null));
    this.edit = (name) => shell.attempt(async () => this.show(await get(["hosts", name])));
  }

  async show(existing) {
    const zones = (await getAll(["zones"])).items;
    this.existing(existing);
    this.zones(zones);
    const zone = zones.find(({ name }) => name === "default") ?? zones[0];
    this.form.reset(existing ? valuesOf(existing) : { ...EMPTY, zone: zone?.name ?? "" });
    this.isOpen(true);
  }

  submit(values, key) {
    const existing = this.existing();
    const fields = fieldsOf(values);
    if (!existing) {
      return change("POST", ["hosts"], { name: values.name.trim(), transport: values.transport, ...fields }, { key });
    }
    const path = ["hosts", existing.name];
    return change("PATCH", path, fields, { ifMatch: etagOf(path) });
  }
}

function valuesOf(host) {
  const plain = Object.fromEntries(["name", "transport", ...CHANGEABLE].map((name) => [name, host[name] ?? ""]));
  return { ...plain, port: String(host.port), tags: host.tags.join(", ") };
}

/** What is left empty has the server's default. A local host has neither a port nor a user to log in as. */
function fieldsOf(values) {
  const names = values.transport === "ssh" ? CHANGEABLE : CHANGEABLE.filter((name) => name !== "user" && name !== "address");
  const fields = Object.fromEntries(names.map((name) => [name, values[name].trim()]).filter(([, value]) => value));
  const port = values.port.trim();
  if (values.transport === "ssh" && port) fields.port = Number.isNaN(Number(port)) ? port : Number(port);
  return { ...fields, tags: values.tags.split(/[\s,]+/).filter(Boolean) };
}
