/** What the pages with one live list share: the list, and whether there is anything in it. */
import { Live } from "../api/live.js";
import ko from "../lib/ko.js";

export class ListPage {
  /** `live`: options of Live beside `load`, which is the page's own load(). */
  constructor(shell, live = {}) {
    this.shell = shell;
    this.rows = ko.observableArray();
    this.live = new Live({ load: () => this.load(), ...live });
    this.isLoading = ko.pureComputed(() => !this.live.isLoaded());
    this.isEmpty = ko.pureComputed(() => this.live.isLoaded() && !this.rows().length);
    this.hasRows = ko.pureComputed(() => this.rows().length > 0);
  }

  /** Begin to load, once all else that the page has is there. */
  begin() {
    this.shell.follow(this.live);
    this.live.start();
    return this;
  }
}
