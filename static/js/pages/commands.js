/** One-off commands, newest first; administrators run them from here. */
import { get } from "../api/client.js";
import { CommandForm } from "../commands/command_form.js";
import { lineOf } from "../commands/words.js";
import { updateKeyed } from "../lib/keyed.js";
import ko from "../lib/ko.js";
import { DataRow } from "../widgets/data_row.js";
import { ListPage } from "../widgets/list_page.js";
import { start } from "../widgets/shell.js";

const PAGE = 50;
const EVERY_MS = 5000;

class CommandRow extends DataRow {
  constructor() {
    super();
    const { of } = this;
    this.href = of((command) => `/commands/${command.id}`);
    this.label = of((command) => `#${command.id}`);
    this.line = of((command) => lineOf(command.argv ?? []));
    this.where = of((command) => (command.application ? `${command.application} in ${command.environment}` : "hosts by name"));
    this.hosts = of(({ progress }) => (progress ? `${progress.done}/${progress.total}` : ""));
    this.failed = of(({ progress }) => (progress?.failed ? `${progress.failed} not well` : ""));
    this.length = { from: of((command) => command.created_at), to: of((command) => command.ended_at) };
  }
}

class CommandsPage extends ListPage {
  constructor(shell) {
    super(shell, { everyMs: EVERY_MS, hints: false });
    this.older = [];
    this.next = ko.observable(null);
    this.commandForm = new CommandForm(shell);
    this.mayRun = ko.pureComputed(() => Boolean(shell.user()?.is_administrator));
    this.more = () => this.loadOlder();
  }

  async load() {
    this.newest = await get(["commands"], { limit: PAGE });
    if (!this.older.length) this.next(this.newest.next);
    this.show();
  }

  /** Older ones stay as they were loaded; between both pages nothing is missing, because numbers only grow. */
  show() {
    const known = new Map([...this.older, ...this.newest.items].map((command) => [command.id, command]));
    const items = [...known.values()].sort((a, b) => b.id - a.id);
    updateKeyed(this.rows, items, (command) => command.id, () => new CommandRow());
  }

  loadOlder() {
    return this.shell.attempt(async () => {
      const page = await get(["commands"], { limit: PAGE, after: this.next() });
      this.older = [...this.older, ...this.newest.items, ...page.items];
      this.next(page.next);
      this.show();
    });
  }
}

start((shell) => new CommandsPage(shell).begin());
