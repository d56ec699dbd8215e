/**
 * The log of a deploy, a build or a command: events as lines, and which of them are shown.
 *
 * Lines are plain objects in one array; what is shown is an array of their indexes, so that a filter over a hundred
 * thousand lines copies numbers only.
 */
import { linesOf, plain } from "../lib/formats.js";
import { look } from "../lib/states.js";

const SHOWN_KINDS = new Set(["deploy", "host", "step", "output", "release", "command", "note"]);

export class Log {
  constructor() {
    this.lines = [];
    this.shown = [];
    this.longest = 0; // characters of the longest line, for the width of the scrolled area
    this.host = "";
    this.step = "";
    this.text = "";
    this.onChange = () => {};
  }

  /** Append the lines of events. */
  append(events) {
    for (const event of events) {
      if (!SHOWN_KINDS.has(event.kind)) continue;
      for (const text of textsOf(event)) this.add(event, text);
    }
    this.onChange();
  }

  add(event, text) {
    const line = {
      number: event.number, time: Date.parse(event.at), kind: event.kind, host: event.host ?? "", step: event.step ?? "",
      state: event.data?.state ?? "", text,
    };
    this.lines.push(line);
    if (this.passes(line)) this.show(this.lines.length - 1, line);
  }

  show(index, line) {
    this.shown.push(index);
    if (line.text.length > this.longest) this.longest = line.text.length;
  }

  passes(line) {
    if (this.host && line.host && line.host !== this.host) return false;
    if (this.step && line.step !== this.step) return false;
    return !this.text || line.text.toLowerCase().includes(this.text);
  }

  /** Show only lines of one host ("" for all; lines about the whole deploy stay), of one step, that contain a text. */
  filter({ host = "", step = "", text = "" }) {
    this.host = host;
    this.step = step;
    this.text = text.trim().toLowerCase();
    this.shown = [];
    this.longest = 0;
    this.lines.forEach((line, index) => this.passes(line) && this.show(index, line));
    this.onChange();
  }

  /** Return the line in a row of what is shown. */
  row(index) {
    return this.lines[this.shown[index]];
  }
}

/** Return the lines an event is shown as. */
function textsOf(event) {
  if (event.kind === "output") return linesOf(event.text ?? "");
  if (event.kind === "note") return linesOf(event.text ?? "").map((line) => `▸ ${line}`);
  const message = plain((event.text ?? "").replaceAll("\n", " ")).trim();
  const { shape, word } = look(event.data?.state ?? "unknown");
  const subject = { deploy: "deploy", release: "build", command: "command", host: event.host, step: event.step }[event.kind];
  return [`${shape} ${plain(String(subject))} ${word}${message ? `: ${message}` : ""}`];
}
