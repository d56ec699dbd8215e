/**
 * A parser of server-sent events (HTML Living Standard, section "Server-sent events", event stream interpretation).
 *
 * EventSource is not used because it hides what matters here: the status of a refusal (401 leads to sign-in) and the
 * comments by which a silent but living server differs from a dead connection.
 */
export class EventParser {
  constructor() {
    this.rest = "";
    this.id = "";
    this.forget();
  }

  forget() {
    this.event = "message";
    this.data = [];
  }

  /** Return the messages [{id, event, data}] that `text` completes; the rest waits for more. */
  feed(text) {
    this.rest += text;
    const messages = [];
    let begin = 0;
    for (;;) {
      const end = this.endOfLine(begin);
      if (end === null) break;
      this.line(this.rest.slice(begin, end.at), messages);
      begin = end.next;
    }
    this.rest = this.rest.slice(begin);
    return messages;
  }

  /** A line ends with CR LF, LF or CR; a CR at the very end may be half of CR LF, so it waits. */
  endOfLine(begin) {
    const lf = this.rest.indexOf("\n", begin);
    const cr = this.rest.indexOf("\r", begin);
    if (cr !== -1 && (lf === -1 || cr < lf)) {
      if (cr === this.rest.length - 1) return null;
      return { at: cr, next: this.rest[cr + 1] === "\n" ? cr + 2 : cr + 1 };
    }
    return lf === -1 ? null : { at: lf, next: lf + 1 };
  }

  line(line, messages) {
    if (line === "") {
      if (this.data.length) messages.push({ id: this.id, event: this.event, data: this.data.join("\n") });
      this.forget();
      return;
    }
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.data.push(value);
    else if (field === "event") this.event = value;
    else if (field === "id" && !value.includes("\0")) this.id = value;
  }
}
