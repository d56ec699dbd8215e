/**
 * One host of a deploy with its ten steps. Two sources say what is so: the list of host runs, which is the whole truth of
 * some moment, and events, which are newer but single. A list never undoes what a newer event has said.
 */
import { now } from "./clock.js";
import { bytes, duration } from "./formats.js";
import ko from "./ko.js";
import { ENDED_HOST, look, STEPS } from "./states.js";

const PENDING = { state: "pending", started_at: null, ended_at: null, message: null };

/** One step's cell. */
class StepCell {
  constructor(name, isOver) {
    this.name = name;
    this.data = ko.observable(PENDING);
    this.share = ko.observable(null);
    // Once the host is done, a step that has not begun will not begin any more.
    this.state = ko.pureComputed(() => (isOver() && this.data().state === "pending" ? "not_run" : this.data().state));
    this.time = ko.pureComputed(() => this.timeNow());
    this.title = ko.pureComputed(() => {
      const { message } = this.data();
      const time = this.time();
      return `${this.name}: ${look(this.state()).word}${time ? `, ${time}` : ""}${message ? `. ${message}` : ""}`;
    });
  }

  /** When this last changed, as the API writes times; texts of one form, so they compare as times do. */
  get changedAt() {
    const { started_at: started, ended_at: ended } = this.data.peek();
    return ended ?? started ?? "";
  }

  timeNow() {
    const { state, started_at: started, ended_at: ended } = this.data();
    if (state === "running") {
      const share = this.share();
      return share === null ? duration(now() - Date.parse(started)) : `${share} %`;
    }
    return started && ended && state !== "skipped" ? duration(Date.parse(ended) - Date.parse(started)) : "";
  }

  set(data) {
    const { state, started_at, ended_at, message } = data;
    this.data({ state, started_at, ended_at, message });
    if (state !== "running") this.share(null);
  }

  heard({ at, data, text }) {
    if (at <= this.changedAt) return;
    const started = data.state === "running" ? at : this.data.peek().started_at ?? at;
    this.set({ state: data.state, started_at: started, ended_at: data.state === "running" ? null : at, message: text ?? null });
  }

  progress({ data }) {
    const { done, total } = data ?? {};
    if (total > 0 && this.data.peek().state === "running") this.share(Math.min(100, Math.floor((100 * done) / total)));
  }
}

export class HostRun {
  constructor() {
    this.data = ko.observable({});
    this.isOver = ko.pureComputed(() => ENDED_HOST.has(this.data().state));
    this.steps = STEPS.map((name) => new StepCell(name, this.isOver));
    this.byName = new Map(this.steps.map((cell) => [cell.name, cell]));
    this.href = ko.pureComputed(() => `/hosts/${encodeURIComponent(this.data().host ?? "")}`);
    this.logName = ko.pureComputed(() => `Show the log of ${this.data().host} only`);
    this.wave = ko.pureComputed(() => (this.data().wave ?? 0) + 1);
    this.sent = ko.pureComputed(() => (this.data().bytes_sent ? bytes(this.data().bytes_sent) : ""));
    this.attempt = ko.pureComputed(() => (this.data().attempt > 1 ? `attempt ${this.data().attempt}` : ""));
    this.message = ko.pureComputed(() => this.messageNow());
    // While its deploy is paused; the page asks for that.
    this.canBeRetried = ko.pureComputed(() => ["failed", "unreachable", "skipped", "rolled_back"].includes(this.data().state));
    this.canBeSkipped = ko.pureComputed(() => ["pending", "failed", "unreachable"].includes(this.data().state));
    this.retryName = ko.pureComputed(() => `Try ${this.data().host} again`);
    this.skipName = ko.pureComputed(() => `Leave ${this.data().host} out`);
  }

  /** The failed step's message, else the run's own; what went well needs no words. */
  messageNow() {
    const failed = this.steps.find((cell) => cell.state() === "failed");
    const own = this.data().message ?? "";
    const step = failed?.data().message ?? "";
    if (!failed || own.includes(step)) return own;
    return `${failed.name}: ${step} ${own}`.trim();
  }

  /** Take a host run of the API. */
  update(data) {
    this.data(data);
    const isRunning = data.state === "running";
    for (const step of data.steps ?? []) {
      const cell = this.byName.get(step.name);
      if (!cell) continue;
      const isNewer = isRunning && cell.changedAt > (step.ended_at ?? step.started_at ?? "");
      if (!isNewer) cell.set(step);
    }
  }

  /** Take an event about this host. */
  heard(event) {
    const cell = this.byName.get(event.step);
    if (event.kind === "step") cell?.heard(event);
    if (event.kind === "progress") cell?.progress(event);
    if (event.kind === "host") this.heardOfHost(event);
  }

  heardOfHost({ at, data, text }) {
    const known = this.data.peek();
    if (at <= (known.ended_at ?? "") || !data?.state) return;
    this.data({ ...known, state: data.state, message: text ?? null, ended_at: ENDED_HOST.has(data.state) ? at : null });
    if (data.state === "pending") this.steps.forEach((cell) => cell.set(PENDING));
  }
}
