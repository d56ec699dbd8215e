/**
 * Data that is kept fresh: loaded, loaded again when the server hints at a change or after a while, and marked when the
 * server cannot be reached.
 *
 * `state`: "loading", "live" (told of changes), "polling" (asked every few seconds), "reconnecting" or "refused".
 * `updatedAt` says, in the server's time, when the data was last known to be right.
 */
import { now } from "../lib/clock.js";
import ko from "../lib/ko.js";
import { address } from "./client.js";
import { Stream } from "./stream.js";

const HINT_PAUSE_MS = 250; // A rollout sends hints in bursts; one look serves many.
const RETRY_MS = [1000, 2000, 5000, 10_000];

export class Live {
  /**
   * load(): fetches and shows the data, throws ApiError. everyMs: how often to look without any hint. hints: whether to
   * listen to /stream for them.
   */
  constructor({ load, everyMs = 15_000, hints = true }) {
    this.load = load;
    this.everyMs = everyMs;
    this.hintPauseMs = HINT_PAUSE_MS;
    this.failures = 0;
    this.error = ko.observable(null);
    this.isLoaded = ko.observable(false);
    this.updatedAt = ko.observable(null);
    this.stream = hints ? new Stream({ url: address(["stream"]), onMessages: async () => this.hint() }) : null;
    this.state = ko.pureComputed(() => this.stateNow());
  }

  start() {
    this.refresh();
    this.stream?.run();
    document.addEventListener("visibilitychange", () => document.hidden || this.refresh());
    window.addEventListener("online", () => this.refresh());
    return this;
  }

  stateNow() {
    const error = this.error();
    if (error) return error.mayPass ? "reconnecting" : "refused";
    if (!this.isLoaded()) return "loading";
    const stream = this.stream?.state();
    if (stream === "live") return "live";
    return stream === "reconnecting" ? "reconnecting" : "polling";
  }

  /** Something has probably changed. */
  hint() {
    this.schedule(this.hintPauseMs);
  }

  /** Load now; while a load is under way, once more after it. */
  async refresh() {
    if (this.isLoading) {
      this.isWanted = true;
      return;
    }
    this.isLoading = true;
    clearTimeout(this.timer);
    this.due = Infinity;
    try {
      await this.tryLoad();
    } finally {
      this.isLoading = false;
      this.schedule(this.isWanted ? this.hintPauseMs : this.pause());
      this.isWanted = false;
    }
  }

  async tryLoad() {
    try {
      await this.load();
      this.failures = 0;
      this.error(null);
      this.isLoaded(true);
      this.updatedAt(now.peek());
    } catch (error) {
      if (error.status === undefined) throw error; // A mistake in the page, not an answer of the API.
      this.failures += 1;
      this.error(error);
    }
  }

  pause() {
    if (!this.failures) return document.hidden ? 4 * this.everyMs : this.everyMs;
    return RETRY_MS[Math.min(this.failures, RETRY_MS.length) - 1];
  }

  /** Load after so many milliseconds, unless it is due sooner. */
  schedule(milliseconds) {
    if (this.isLoading) {
      this.isWanted = true;
      return;
    }
    const due = Date.now() + milliseconds;
    if (due >= (this.due ?? Infinity)) return;
    clearTimeout(this.timer);
    this.due = due;
    this.timer = setTimeout(() => this.refresh(), milliseconds);
  }
}
