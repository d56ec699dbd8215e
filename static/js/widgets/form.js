/**
 * A form: values by the names of its inputs, errors of the API beside the fields they are about, one submission at a time.
 *
 * A failed submission keeps everything that was typed. Each opening has one Idempotency-Key, so pressing the button again
 * after a lost answer does nothing twice; a change of a value makes a new one.
 */
import { ApiError, idempotencyKey } from "../api/client.js";
import ko from "../lib/ko.js";

export class Form {
  /**
   * initial: {name: value}. submit(values, key): sends it and returns what `done` gets. fieldOf(apiField): the
   * input's name for a field of the API, by default the same.
   */
  constructor({ initial, submit, done = () => {}, fieldOf = (field) => field }) {
    Object.assign(this, { initial, submit, done, fieldOf });
    this.values = Object.fromEntries(Object.entries(initial).map(([name, value]) => [name, ko.observable(value)]));
    this.errors = ko.observable(new Map());
    this.error = ko.observable("");
    this.isBusy = ko.observable(false);
    this.key = idempotencyKey();
    ko.computed(() => ko.toJS(this.values)).subscribe(() => {
      this.key = idempotencyKey();
    });
    this.send = () => this.sendOnce();
  }

  /** Set values and forget errors; without an argument everything is as at first. */
  reset(values = this.initial) {
    for (const [name, value] of Object.entries(values)) this.values[name](value);
    this.errors(new Map());
    this.error("");
    this.key = idempotencyKey();
  }

  errorOf(name) {
    return this.errors().get(name) ?? "";
  }

  async sendOnce() {
    if (this.isBusy()) return;
    this.isBusy(true);
    this.errors(new Map());
    this.error("");
    try {
      const result = await this.submit(ko.toJS(this.values), this.key);
      await this.done(result);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.show(error);
    } finally {
      this.isBusy(false);
    }
  }

  /** Put each message beside its field; what belongs to no field of this form is said below. */
  show(error) {
    const beside = new Map();
    const rest = [];
    for (const [field, message] of error.errors) {
      const name = this.fieldOf(field);
      if (name in this.values) beside.set(name, message);
      else rest.push(`${field}: ${message}`);
    }
    this.errors(beside);
    if (beside.size) document.querySelector("[aria-invalid=true]")?.focus(); // It may be out of sight.
    if (rest.length) this.error(rest.join(" "));
    else if (!beside.size) this.error(error.message);
    if (error.status !== 0 && error.status < 500) this.key = idempotencyKey();
  }
}
