/** A log on the page: filters, following, and the list that draws it; `logView: model` binds it to the list's element. */
import { absolute, timeOfDay } from "../lib/formats.js";
import ko from "../lib/ko.js";
import { Log } from "./log.js";
import { VirtualList } from "./virtual_list.js";

const TYPING_PAUSE_MS = 150;

export class LogView {
  constructor() {
    this.log = new Log();
    this.hosts = ko.observableArray();
    this.host = ko.observable("");
    this.step = ko.observable("");
    this.text = ko.observable("");
    this.count = ko.observable(0);
    this.shown = ko.observable(0);
    this.isFollowing = ko.observable(true);
    this.summary = ko.pureComputed(() => {
      const all = this.count();
      const lines = `${all.toLocaleString()} ${all === 1 ? "line" : "lines"}`;
      return this.shown() === all ? lines : `${this.shown().toLocaleString()} of ${lines}`;
    });
    this.stepText = ko.pureComputed(() => `${this.step()} only: show all steps`);
    this.allSteps = () => this.step("");
    this.isEmpty = ko.pureComputed(() => !this.count());
    this.followText = ko.pureComputed(() => (this.isFollowing() ? "Pause scrolling" : "Follow"));
    this.toggle = () => this.isFollowing(!this.isFollowing());
    const typed = ko.pureComputed(() => this.text())
      .extend({ rateLimit: { timeout: TYPING_PAUSE_MS, method: "notifyWhenChangesStop" } });
    this.host.subscribe(() => this.filter());
    this.step.subscribe(() => this.filter());
    typed.subscribe(() => this.filter());
    this.log.onChange = () => this.changed();
  }

  /** Append events; hosts that are heard of for the first time join the filter's list. */
  append(events) {
    const known = new Set(this.hosts.peek());
    const fresh = [...new Set(events.map((event) => event.host).filter((host) => host && !known.has(host)))];
    if (fresh.length) this.hosts([...known, ...fresh].sort());
    this.log.append(events);
  }

  /** Show what is said of one host, maybe of one of its steps, and bring the log into sight. */
  showOnly(host, step = "") {
    this.host(host);
    this.step(step);
    this.list?.viewport.closest("section").scrollIntoView({ block: "start" });
  }

  filter() {
    this.log.filter({ host: this.host() ?? "", step: this.step(), text: this.text() });
    this.list?.reset();
  }

  changed() {
    this.count(this.log.lines.length);
    this.shown(this.log.shown.length);
    this.list?.resize(this.log.shown.length, this.log.longest);
  }

  attach(element) {
    this.list = new VirtualList(element, (index) => rowOf(this.log.row(index)));
    this.list.follow(this.isFollowing());
    this.list.follow.subscribe(this.isFollowing);
    this.isFollowing.subscribe(this.list.follow);
    this.changed();
  }
}

function rowOf(line) {
  const row = document.createElement("div");
  row.className = "line";
  row.dataset.kind = line.kind;
  if (line.state) row.dataset.state = line.state;
  row.append(
    part("log-time", timeOfDay(line.time), absolute(line.time)),
    part("log-host", line.host, line.host), part("log-step", line.step, line.step), part("log-text", line.text));
  return row;
}

function part(className, text, title) {
  const span = document.createElement("span");
  span.className = className;
  span.textContent = text;
  if (title) span.title = title;
  return span;
}

ko.bindingHandlers.logView = {
  init(element, valueAccessor) {
    valueAccessor().attach(element);
    return { controlsDescendantBindings: true };
  },
};
