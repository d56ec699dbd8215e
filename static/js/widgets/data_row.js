/** A row of a table that shows what the API tells; `of` makes a column of it. keyed.js keeps such rows. */
import ko from "../lib/ko.js";

export class DataRow {
  constructor() {
    this.data = ko.observable({});
    this.of = (read) => ko.pureComputed(() => read(this.data()));
  }

  update(data) {
    this.data(data);
  }
}
