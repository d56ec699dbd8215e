/**
 * One host of a deploy with its ten steps, and the playbooks and manifests that run between them.
 *
 * Two sources say what is so: the list of host runs, which is the whole truth of some moment, and events, which are newer but
 * single. A list never undoes what a newer event has said.
 */
import { now } from "../lib/clock.js";
import { bytes, duration, plain } from "../lib/formats.js";
import ko from "../lib/ko.js";
import { ENDED_HOST, look, STEPS } from "../lib/states.js";

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

/** A playbook or manifest: a step of its own, shown below the ten with the place where it runs. */
class PlaybookCell extends StepCell {
  /** after, before: the names of the steps it runs between; the first and the last have one only. */
  constructor(name, isOver, { host, after, before }) {
    super(name, isOver);
    this.host = host;
    this.place = after && before ? `between ${after} and ${before}` : after ? `after ${after}` : `before ${before}`;
    this.message = ko.pureComputed(() => plain(this.data().message ?? ""));
    this.logName = `Show the log of ${name} on ${host}`;
  }
}

export class HostRun {
  constructor() {
    this.data = ko.observable({});
    this.isOver = ko.pureComputed(() => ENDED_HOST.has(this.data().state));
    this.steps = STEPS.map((name) => new StepCell(name, this.isOver));
    this.playbooks = ko.observableArray();
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
    const failed = [...this.steps, ...this.playbooks()].find((cell) => cell.state() === "failed");
    const own = this.data().message ?? "";
    const step = failed?.data().message ?? "";
    if (!failed || own.includes(step)) return own;
    return `${failed.name}: ${step} ${own}`.trim();
  }

  /** Take a host run of the API. */
  update(data) {
    this.data(data);
    this.knowPlaybooks(data);
    const isRunning = data.state === "running";
    for (const step of data.steps ?? []) {
      const cell = this.byName.get(step.name);
      if (!cell) continue;
      const isNewer = isRunning && cell.changedAt > (step.ended_at ?? step.started_at ?? "");
      if (!isNewer) cell.set(step);
    }
  }

  /** Make a cell for each step that is none of the ten; which there are does not change during a deploy. */
  knowPlaybooks({ host, steps = [] }) {
    const fresh = steps.filter(({ name }) => !this.byName.has(name));
    if (!fresh.length) return;
    const names = steps.map(({ name }) => name);
    for (const { name } of fresh) {
      const place = names.indexOf(name);
      const after = names.slice(0, place).findLast((one) => STEPS.includes(one));
      const before = names.slice(place).find((one) => STEPS.includes(one));
      this.byName.set(name, new PlaybookCell(name, this.isOver, { host, after, before }));
    }
    this.playbooks(names.filter((name) => !STEPS.includes(name)).map((name) => this.byName.get(name)));
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
    if (data.state === "pending") this.byName.forEach((cell) => cell.set(PENDING));
  }
}
