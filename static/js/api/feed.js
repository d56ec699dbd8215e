/**
 * The history of a deploy or of a build, complete and in order, over as many connections as it takes.
 *
 * Events are numbered without gaps. The last number handed on is where the stream resumes (Last-Event-ID); numbers seen
 * before are dropped and a gap is filled from the list of events before anything after it is handed on. Only an ended
 * subject ends the feed: a stream that just stops is taken for a broken one.
 */
import { address, get } from "./client.js";
import { Stream } from "./stream.js";

export class Feed {
  /**
   * parts: path of the subject in the API, for instance ["deploys", 12]. hasEnded(): asks the API whether it is over.
   * onEvents(events): gets events in order, each once.
   */
  constructor({ parts, hasEnded, onEvents, onRefused }) {
    this.parts = parts;
    this.hasEnded = hasEnded;
    this.onEvents = onEvents;
    this.last = 0;
    this.stream = new Stream({
      url: address([...parts, "stream"]),
      lastId: () => this.last,
      onMessages: (messages) => this.take(messages.map(eventOf).filter(Boolean)),
      isOver: () => this.isOver(),
      onRefused,
    });
    this.state = this.stream.state;
  }

  run() {
    return this.stream.run();
  }

  stop() {
    this.stream.stop();
  }

  /** Hand on what is new, in order; fetch what is missing in between. */
  async take(events) {
    let ready = [];
    for (const event of events) {
      if (event.number <= this.last) continue;
      if (event.number > this.last + 1) {
        this.handOn(ready);
        ready = [];
        await this.fetchUntil(event.number);
      }
      this.last = event.number;
      ready.push(event);
    }
    this.handOn(ready);
  }

  handOn(events) {
    if (events.length) this.onEvents(events);
  }

  /** Fetch the events after the last one and before `number`. */
  async fetchUntil(number) {
    while (this.last + 1 < number) {
      const page = await get([...this.parts, "events"], { after: this.last, limit: 200 });
      const missing = page.items.filter((event) => event.number > this.last && event.number < number);
      if (!missing.length) return;
      this.last = missing.at(-1).number;
      this.handOn(missing);
    }
  }

  async isOver() {
    if (!(await this.hasEnded())) return false;
    await this.fetchUntil(Infinity);
    return true;
  }
}

function eventOf({ id, data }) {
  try {
    const event = JSON.parse(data);
    const number = event.number ?? Number.parseInt(id, 10);
    return Number.isInteger(number) ? { ...event, number } : null;
  } catch {
    return null; // Not one of ours, or cut off; the gap it leaves is filled from the list.
  }
}
