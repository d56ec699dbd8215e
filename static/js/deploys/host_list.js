/** The hosts of a deploy: all are known, and of many only so many are drawn that the page stays quick. */
import { updateKeyed } from "../lib/keyed.js";
import ko from "../lib/ko.js";
import { look } from "../lib/states.js";
import { HostRun } from "./host_run.js";

const DRAWN = 50;

export class HostList {
  constructor() {
    this.runs = ko.observableArray();
    this.byHost = new Map();
    this.kind = ko.observable("");
    this.text = ko.observable("");
    this.most = ko.observable(DRAWN);
    this.isLong = ko.pureComputed(() => this.runs().length > DRAWN);
    this.passing = ko.pureComputed(() => this.passingNow());
    this.drawn = ko.pureComputed(() => this.passing().slice(0, this.most()));
    this.left = ko.pureComputed(() => this.passing().length - this.drawn().length);
    this.moreText = ko.pureComputed(() => `Show ${Math.min(this.left(), DRAWN)} more of ${this.left()}`);
    this.isNone = ko.pureComputed(() => this.isLong() && !this.passing().length);
    this.more = () => this.most(this.most.peek() + DRAWN);
  }

  passingNow() {
    const kind = this.kind();
    const text = this.text().trim().toLowerCase();
    return this.runs().filter((run) =>
      (!kind || look(run.data().state).kind === kind) && (!text || run.key.toLowerCase().includes(text)));
  }

  /** Take the host runs of the API. */
  update(items) {
    updateKeyed(this.runs, items, (run) => run.host, () => new HostRun());
    this.byHost = new Map(this.runs.peek().map((run) => [run.key, run]));
  }

  /** Take an event. */
  heard(event) {
    if (event.host) this.byHost.get(event.host)?.heard(event);
  }
}
