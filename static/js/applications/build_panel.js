/** The output of a release's build, live while it is being built. */
import { get } from "../api/client.js";
import { Feed } from "../api/feed.js";
import ko from "../lib/ko.js";
import { LogView } from "../widgets/log_view.js";

export class BuildPanel {
  /** onChange(): called when the build has changed its state. */
  constructor(shell, application, onChange) {
    Object.assign(this, { shell, application, onChange });
    this.version = ko.observable("");
    this.title = ko.pureComputed(() => `Build of ${this.version()}`);
    this.log = ko.observable(null);
    this.close = () => this.end();
  }

  /** Show the build of a release. */
  show(version) {
    if (this.version.peek() === version) return;
    this.end();
    const log = new LogView();
    const parts = ["applications", this.application, "releases", version];
    this.feed = new Feed({
      parts,
      hasEnded: async () => (await get(parts)).state !== "building",
      onEvents: (events) => {
        log.append(events);
        if (events.some(({ kind }) => kind === "release")) this.onChange();
      },
      onRefused: (error) => this.shell.problem(`The build's output cannot be read: ${error.message}`),
    });
    this.version(version);
    this.log(log);
    this.feed.run();
  }

  end() {
    this.feed?.stop();
    this.version("");
    this.log(null);
  }
}
