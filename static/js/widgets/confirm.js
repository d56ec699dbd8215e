/** The one dialog that asks before something is done: what exactly, to what, and a button that says it. */
import { ApiError, idempotencyKey } from "../api/client.js";
import ko from "../lib/ko.js";

export class Confirm {
  constructor() {
    this.isOpen = ko.observable(false);
    this.title = ko.observable("");
    this.facts = ko.observableArray();
    this.warning = ko.observable("");
    this.action = ko.observable("");
    this.isDangerous = ko.observable(false);
    this.error = ko.observable("");
    this.isBusy = ko.observable(false);
    this.close = () => this.isOpen(false);
    this.accept = () => this.acceptOnce();
  }

  /**
   * Ask. facts: [{name, value}] shown as a list. action: the button's words. run(key): does it with an
   * Idempotency-Key; done(result): what then.
   */
  ask({ title, facts = [], warning = "", action, isDangerous = false, run, done = () => {} }) {
    this.title(title);
    this.facts(facts.filter(({ value }) => value));
    this.warning(warning);
    this.action(action);
    this.isDangerous(isDangerous);
    this.error("");
    this.run = run;
    this.done = done;
    this.key = idempotencyKey();
    this.isOpen(true);
  }

  async acceptOnce() {
    if (this.isBusy()) return;
    this.isBusy(true);
    this.error("");
    try {
      const result = await this.run(this.key);
      this.isOpen(false);
      await this.done(result);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.error(error.message);
      if (!error.mayPass) this.key = idempotencyKey();
    } finally {
      this.isBusy(false);
    }
  }
}
