/** The form for a freeze: once, between two moments of the browser's own clock, or every week on that of a time zone. */
import { change } from "../api/client.js";
import ko from "../lib/ko.js";
import { Form } from "../widgets/form.js";

const EMPTY = {
  name: "", reason: "", kind: "once", starts_at: "", ends_at: "", begins: "fri 16:00", ends: "mon 08:00", timezone: "",
  applications: "", environments: "",
};

export class FreezeForm {
  constructor(done) {
    this.isOpen = ko.observable(false);
    this.form = new Form({
      initial: EMPTY,
      submit: (values, key) => change("POST", ["freezes"], bodyOf(values), { key }),
      done: (freeze) => {
        this.isOpen(false);
        return done(freeze);
      },
      fieldOf: (field) => field.split(".").find((part) => part in EMPTY) ?? field,
    });
    this.isOnce = ko.pureComputed(() => this.form.values.kind() === "once");
    this.close = () => this.isOpen(false);
    this.open = () => this.show();
  }

  show() {
    this.form.reset({ ...EMPTY, timezone: Intl.DateTimeFormat().resolvedOptions().timeZone });
    this.isOpen(true);
  }
}

function bodyOf({ name, reason, kind, starts_at: starts, ends_at: ends, begins, ends: until, timezone, applications, environments }) {
  const when = kind === "once"
    ? { starts_at: moment(starts), ends_at: moment(ends) }
    : { weekly: { begins: begins.trim(), ends: until.trim(), timezone: timezone.trim() } };
  return { name: name.trim(), reason: reason.trim(), ...when, ...named("applications", applications), ...named("environments", environments) };
}

/** Return a local time of an input as the API writes times; what is none goes to the server, which says so. */
function moment(text) {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? text || null : time.toISOString();
}

function named(field, text) {
  const names = text.split(/[\s,]+/).filter(Boolean);
  return names.length ? { [field]: names } : {};
}
