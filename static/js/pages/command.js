/** A one-off command: what it is, how it goes on each host, and what it says, live. */
import { change, get } from "../api/client.js";
import { Feed } from "../api/feed.js";
import { Live } from "../api/live.js";
import { lineOf } from "../commands/words.js";
import { updateKeyed } from "../lib/keyed.js";
import ko from "../lib/ko.js";
import { look } from "../lib/states.js";
import { DataRow } from "../widgets/data_row.js";
import { LogView } from "../widgets/log_view.js";
import { start, subject } from "../widgets/shell.js";

class HostRow extends DataRow {
  constructor() {
    super();
    this.href = this.of((run) => `/hosts/${encodeURIComponent(run.host)}`);
    this.status = this.of((run) => (run.exit_code === null ? "" : String(run.exit_code)));
    this.message = this.of((run) => run.message ?? "");
    this.logName = this.of((run) => `Show the output of ${run.host}`);
    this.length = { from: this.of((run) => run.started_at), to: this.of((run) => run.ended_at) };
  }
}

class CommandPage {
  constructor(shell) {
    this.shell = shell;
    this.id = Number(subject().command);
    this.command = ko.observable(null);
    this.runs = ko.observableArray();
    this.log = new LogView();
    this.logHref = null;
    this.feed = ko.observable(null);
    this.live = new Live({ load: () => this.load(), hints: false });
    this.describe();
    shell.follow({ state: ko.pureComputed(() => this.connection()), error: this.live.error, updatedAt: this.live.updatedAt });
    this.live.start();
  }

  describe() {
    const of = (read) => ko.pureComputed(() => (this.command() ? read(this.command()) : ""));
    this.isMissing = ko.pureComputed(() => this.live.error()?.status === 404);
    this.missing = ko.pureComputed(() => this.live.error()?.message);
    this.isLoading = ko.pureComputed(() => !this.command() && !this.isMissing());
    this.line = of((command) => lineOf(command.argv));
    this.applicationHref = of(({ application }) => (application ? `/applications/${encodeURIComponent(application)}` : null));
    this.where = of(({ application, environment }) => (application ? `${application} in ${environment}` : ""));
    this.limit = of((command) => `${command.time_limit_s} s`);
    this.isRunning = of((command) => command.state === "running");
    this.isCancelling = of((command) => command.state === "running" && Boolean(command.cancel_requested_by));
    this.tookText = of((command) => (command.ended_at ? "Took" : "Running for"));
    this.length = { from: of((command) => command.created_at), to: of((command) => command.ended_at) };
    this.total = of((command) => command.progress.total);
    this.doneCount = of((command) => command.progress.done);
    this.progressText = of(({ progress }) => `${progress.done} of ${progress.total} hosts done${progress.failed ? `, ${progress.failed} not well` : ""}`);
    this.canCancel = ko.pureComputed(() => this.isRunning() && !this.isCancelling() && Boolean(this.shell.user()?.is_administrator));
    this.cancel = () => this.askCancel();
    this.showLogOf = (run) => this.log.showOnly(run.key);
  }

  connection() {
    const state = this.live.state();
    return state === "polling" ? this.feed()?.state() ?? "connecting" : state;
  }

  async load() {
    const command = await get(["commands", this.id]);
    const before = this.command.peek();
    updateKeyed(this.runs, command.hosts, (run) => run.host, () => new HostRow());
    this.command(command);
    const { shape, word } = look(command.state);
    document.title = `${shape} Command ${command.id} ${word} · Windlass`;
    if (before && before.state !== command.state) this.shell.notice(`Command ${command.id} ${word}`);
    if (!this.feed.peek()) this.follow();
  }

  follow() {
    this.feed(new Feed({
      parts: ["commands", this.id],
      hasEnded: async () => (await get(["commands", this.id])).state !== "running",
      onEvents: (events) => this.heard(events),
      onRefused: (error) => this.shell.problem(`The output cannot be read: ${error.message}`),
    }));
    this.feed.peek().run().then(() => this.live.refresh());
  }

  heard(events) {
    this.log.append(events);
    if (events.some(({ kind }) => kind !== "output")) this.live.hint();
  }

  askCancel() {
    this.shell.confirm.ask({
      title: `Cancel command ${this.id}?`,
      facts: [{ name: "Words", value: this.line() }, { name: "Application", value: this.where() }],
      warning: "Where it runs it is ended with all its processes; where it has not begun it does not begin.",
      action: "Cancel this command",
      isDangerous: true,
      run: (key) => change("POST", ["commands", this.id, "cancel"], undefined, { key }),
      done: () => this.live.refresh(),
    });
  }
}

start((shell) => new CommandPage(shell));
