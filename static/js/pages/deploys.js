/** All deploys, newest first, filtered by what the address says, so that a filtered list can be passed on as a link. */
import { get, getAll } from "../api/client.js";
import { Live } from "../api/live.js";
import { showDeploys } from "../deploys/deploy_rows.js";
import ko from "../lib/ko.js";
import { look } from "../lib/states.js";
import { start } from "../widgets/shell.js";

const FILTERS = ["application", "environment", "state"];
const STATES = ["pending_approval", "scheduled", "queued", "running", "paused", "rolling_back", "succeeded", "failed", "rolled_back", "cancelled"];
const PAGE = 50;

class DeploysPage {
  constructor(shell) {
    const search = new URLSearchParams(location.search);
    this.shell = shell;
    this.filters = Object.fromEntries(FILTERS.map((name) => [name, ko.observable(search.get(name) ?? "")]));
    this.applications = ko.observableArray();
    this.environments = ko.observableArray();
    this.states = STATES.map((state) => ({ state, label: look(state).word }));
    this.rows = ko.observableArray();
    this.forgetOlder();
    this.next = ko.observable(null);
    this.live = new Live({ load: () => this.load() });
    this.isEmpty = ko.pureComputed(() => this.live.isLoaded() && !this.rows().length && !this.isFiltered());
    this.isNothingFound = ko.pureComputed(() => this.live.isLoaded() && !this.rows().length && this.isFiltered());
    this.isFiltered = ko.pureComputed(() => FILTERS.some((name) => this.filters[name]()));
    this.isLoading = ko.pureComputed(() => !this.live.isLoaded());
    this.hasRows = ko.pureComputed(() => this.rows().length > 0);
    this.more = () => this.loadOlder();
    FILTERS.forEach((name) => this.filters[name].subscribe(() => this.changed()));
    shell.follow(this.live);
    this.live.start();
  }

  forgetOlder() {
    this.older = new Map();
    this.hasOlder = false;
  }

  query() {
    return Object.fromEntries(FILTERS.map((name) => [name, this.filters[name]()]));
  }

  changed() {
    const given = Object.entries(this.query()).filter(([, value]) => value);
    history.replaceState(null, "", given.length ? `?${new URLSearchParams(given)}` : location.pathname);
    this.forgetOlder();
    this.live.refresh();
  }

  async load() {
    const query = this.query();
    const [page] = await Promise.all([get(["deploys"], { limit: PAGE, ...query }), this.loadChoices()]);
    // If the filter has changed since, the next load is under way.
    if (JSON.stringify(query) === JSON.stringify(this.query())) this.show(page);
  }

  /**
   * The newest page is as the server tells it now. Below it, older pages stay as they were loaded, and so does what new
   * deploys have pushed down from the newest page.
   */
  show(page) {
    page.items.forEach((deploy) => this.older.set(deploy.id, deploy));
    const last = page.items.at(-1)?.id ?? 0;
    const isMore = page.next && this.hasOlder;
    const below = isMore ? [...this.older.values()].filter(({ id }) => id < last).sort((a, b) => b.id - a.id) : [];
    if (!this.hasOlder) this.next(page.next);
    showDeploys(this.rows, [...page.items, ...below]);
    this.newest = page;
  }

  loadOlder() {
    return this.shell.attempt(async () => {
      const page = await get(["deploys"], { limit: PAGE, ...this.query(), after: this.next() });
      page.items.forEach((deploy) => this.older.set(deploy.id, deploy));
      this.hasOlder = true;
      this.next(page.next);
      this.show(this.newest);
    });
  }

  async loadChoices() {
    if (this.applications.peek().length) return;
    const [applications, environments] = await Promise.all([getAll(["applications"]), getAll(["environments"])]);
    this.applications(applications.items.map(({ name }) => name));
    this.environments(environments.items.map(({ name }) => name));
  }
}

start((shell) => new DeploysPage(shell));
