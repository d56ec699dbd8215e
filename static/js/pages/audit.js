/** The audit trail, newest first, filtered by what the address says; and whether it is as it was written. */
import { get } from "../api/client.js";
import { absolute, plain } from "../lib/formats.js";
import ko from "../lib/ko.js";
import { ListPage } from "../widgets/list_page.js";
import { start } from "../widgets/shell.js";

const FILTERS = ["by", "action", "subject"];
const PAGE = 50;
const TYPING_PAUSE_MS = 300;

class AuditPage extends ListPage {
  constructor(shell) {
    super(shell, { hints: false });
    const search = new URLSearchParams(location.search);
    this.filters = Object.fromEntries(FILTERS.map((name) => [name, ko.observable(search.get(name) ?? "")]));
    this.next = ko.observable(null);
    this.verdict = ko.observable(null);
    this.isReadingOlder = false;
    this.isVerifying = ko.observable(false);
    this.state = ko.pureComputed(() => (this.verdict()?.ok ? "intact" : "altered"));
    this.more = () => this.loadOlder();
    this.verify = () => this.verifyNow();
    ko.computed(() => JSON.stringify(this.query()))
      .extend({ rateLimit: { timeout: TYPING_PAUSE_MS, method: "notifyWhenChangesStop" } }).subscribe(() => this.changed());
  }

  query() {
    return Object.fromEntries(FILTERS.map((name) => [name, this.filters[name]().trim()]));
  }

  changed() {
    const given = Object.entries(this.query()).filter(([, value]) => value);
    history.replaceState(null, "", given.length ? `?${new URLSearchParams(given)}` : location.pathname);
    this.isReadingOlder = false;
    this.live.refresh();
  }

  async load() {
    const asked = JSON.stringify(this.query());
    const page = await get(["audit"], { limit: PAGE, ...this.query() });
    if (asked !== JSON.stringify(this.query())) return; // The filter has changed since; the next load is under way.
    if (this.isReadingOlder) return; // Somebody reads older entries: what is new can wait until the page is opened again.
    this.rows(page.items.map(described));
    this.next(page.next);
  }

  loadOlder() {
    return this.shell.attempt(async () => {
      const page = await get(["audit"], { limit: PAGE, ...this.query(), after: this.next() });
      this.isReadingOlder = true;
      this.rows.push(...page.items.map(described));
      this.next(page.next);
    });
  }

  async verifyNow() {
    this.isVerifying(true);
    await this.shell.attempt(async () => this.verdict(await get(["audit", "verify"])));
    this.isVerifying(false);
  }
}

function described({ number, at, actor, action, subject, data, address }) {
  const set = Object.entries(data ?? {}).map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`);
  return {
    number, at: absolute(Date.parse(at)), actor: plain(actor), action, subject: plain(subject), set: plain(set.join(", ")),
    address: address ?? "Windlass itself",
  };
}

start((shell) => new AuditPage(shell).begin());
