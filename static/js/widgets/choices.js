/** What a field may hold, for its <datalist>: asked of the server once the field is used, and again as somebody types. */
import { ApiError } from "../api/client.js";
import ko from "../lib/ko.js";

const TYPING_PAUSE_MS = 300;

export class Choices {
  /** value: the field's observable; ask(query) returns names, those with the query in them. */
  constructor(value, ask) {
    Object.assign(this, { value, ask });
    this.names = ko.observableArray();
    this.query = null;
    this.begin = () => {
      if (this.query === null) this.load();
      return true; // The browser goes on with the event.
    };
    ko.pureComputed(() => value().trim()).extend({ rateLimit: { timeout: TYPING_PAUSE_MS, method: "notifyWhenChangesStop" } })
      .subscribe(() => this.query !== null && this.load());
  }

  /** A system that cannot tell suggests nothing; what is typed is still taken. */
  async load() {
    const query = this.value().trim();
    if (query === this.query) return;
    this.query = query;
    const names = await this.ask(query).catch((error) => {
      if (!(error instanceof ApiError)) throw error;
      return [];
    });
    if (query === this.query) this.names(names);
  }
}
