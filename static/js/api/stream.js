/**
 * A connection to a stream of server-sent events that is made again whenever it breaks.
 *
 * `state` is an observable: "connecting", "live", "reconnecting", "resting" (the tab is hidden) or "over".
 * A stream that says nothing, not even a comment, for SILENCE_MS counts as broken.
 */
import ko from "../lib/ko.js";
import { send } from "./client.js";
import { EventParser } from "./sse.js";

const SILENCE_MS = 25_000; // The server writes a comment at least every 10 s.
const PAUSES_MS = [300, 1000, 2000, 5000, 10_000];
const REST_AFTER_MS = 60_000; // A browser opens six connections to a server; hidden tabs must not keep them all.

export class Stream {
  /**
   * url: address of the stream. lastId(): the number to resume after, or "". onMessages(messages): called, and waited
   * for, with what came. isOver(): asked after the server has closed the stream; true ends it for good. onRefused(error): the
   * API refuses for good (403, 404).
   */
  constructor({ url, lastId = () => "", onMessages, isOver = async () => false, onRefused = () => {} }) {
    Object.assign(this, { url, lastId, onMessages, isOver, onRefused });
    this.state = ko.observable("connecting");
    this.reason = ko.observable("");
    this.failures = 0;
    this.stopped = false;
    this.isResting = false;
    this.wake = () => {};
    this.abort = () => {};
  }

  /** Run until the stream is over or `stop()` is called. */
  async run() {
    const unwatch = this.watchPage();
    while (!this.stopped) {
      if (this.isResting) {
        this.state("resting");
        await this.pause(REST_AFTER_MS);
        continue;
      }
      if (await this.connectOnce()) break;
      if (!this.stopped && !this.isResting) await this.pause(this.backOff());
    }
    unwatch();
    this.state("over");
  }

  /** End it. */
  stop() {
    this.stopped = true;
    this.abort();
    this.wake();
  }

  /** One connection; returns whether the stream is over for good. */
  async connectOnce() {
    try {
      await this.read();
      if (this.stopped || (await this.isOver())) return true;
      this.lost("The server ended the stream early.");
    } catch (error) {
      if (this.stopped) return true;
      if (error.status && !error.mayPass) {
        this.onRefused(error);
        return true;
      }
      this.lost(error.message);
    }
    return false;
  }

  lost(reason) {
    this.failures += 1;
    this.reason(reason);
    if (!this.isResting) this.state("reconnecting");
  }

  backOff() {
    const pause = PAUSES_MS[Math.min(this.failures, PAUSES_MS.length) - 1] ?? PAUSES_MS[0];
    return pause * (0.8 + 0.4 * Math.random()); // Not all browsers at once after a restart of the server.
  }

  async read() {
    const controller = new AbortController();
    this.abort = () => controller.abort();
    const headers = { Accept: "text/event-stream" };
    const last = String(this.lastId());
    if (last) headers["Last-Event-ID"] = last;
    const silence = new Silence(controller);
    try {
      const response = await send(this.url, { headers, signal: controller.signal });
      this.state("live");
      this.reason("");
      await this.readBody(response.body.pipeThrough(new TextDecoderStream()).getReader(), silence);
    } finally {
      silence.end();
      controller.abort();
    }
  }

  async readBody(reader, silence) {
    const parser = new EventParser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      silence.broken();
      const messages = parser.feed(value);
      if (messages.length) {
        this.failures = 0;
        await this.onMessages(messages);
      }
      if (this.stopped) return;
    }
  }

  /** Wait so long, or until something gives reason to try at once. */
  pause(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  watchPage() {
    let restTimer = 0;
    const onVisibility = () => {
      clearTimeout(restTimer);
      if (document.hidden) {
        restTimer = setTimeout(() => this.rest(), REST_AFTER_MS);
      } else {
        this.isResting = false;
        tryNow();
      }
    };
    const tryNow = () => {
      this.failures = 0;
      this.wake();
    };
    document.addEventListener("visibilitychange", onVisibility);
    window.addEventListener("online", tryNow);
    return () => {
      clearTimeout(restTimer);
      document.removeEventListener("visibilitychange", onVisibility);
      window.removeEventListener("online", tryNow);
    };
  }

  rest() {
    this.isResting = true;
    this.abort();
  }
}

/** Aborts a connection on which nothing has come for too long. */
class Silence {
  constructor(controller) {
    this.controller = controller;
    this.broken();
  }

  broken() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.controller.abort(), SILENCE_MS);
  }

  end() {
    clearTimeout(this.timer);
  }
}
