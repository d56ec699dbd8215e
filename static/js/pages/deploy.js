/** A deploy: what it is, its hosts with their steps, its log, all of it live, and what can be done about it. */
import { get, getAll } from "../api/client.js";
import { Feed } from "../api/feed.js";
import { Live } from "../api/live.js";
import { Changelog } from "../deploys/changelog.js";
import { Changes } from "../deploys/changes.js";
import { HostList } from "../deploys/host_list.js";
import { askApprove, askCancel, askHost, askPause, askResume, askRetry, askRollback, isUnderWay } from "../deploys/rollout_actions.js";
import { strategyText } from "../deploys/strategy.js";
import ko from "../lib/ko.js";
import { look, STEPS } from "../lib/states.js";
import { LogView } from "../widgets/log_view.js";
import { start, subject } from "../widgets/shell.js";

const MANY_HOSTS = 20;
const LIST_EVERY_MS = 15_000;

class DeployPage {
  constructor(shell) {
    this.shell = shell;
    this.id = Number(subject().deploy);
    this.deploy = ko.observable(null);
    this.hosts = new HostList();
    this.stepNames = STEPS;
    this.log = new LogView();
    this.changes = new Changes(shell, ko.pureComputed(() => this.deploy()?.plan ?? null));
    this.changelog = new Changelog(shell, this.id);
    this.feed = ko.observable(null);
    this.describe();
    this.offer();
    this.live = new Live({ load: () => this.load(), hints: false });
    this.isMissing = ko.pureComputed(() => this.live.error()?.status === 404);
    this.missing = ko.pureComputed(() => this.live.error()?.message);
    this.isLoading = ko.pureComputed(() => !this.deploy() && !this.isMissing());
    shell.follow({ state: ko.pureComputed(() => this.connection()), error: this.live.error, updatedAt: this.live.updatedAt });
    this.live.start();
  }

  /** What the head of the page says. */
  describe() {
    const of = (read) => ko.pureComputed(() => (this.deploy() ? read(this.deploy()) : ""));
    this.applicationHref = of((deploy) => `/applications/${encodeURIComponent(deploy.application)}`);
    this.strategy = of((deploy) => strategyText(deploy.strategy));
    this.total = of((deploy) => deploy.progress.total);
    this.doneCount = of((deploy) => deploy.progress.done);
    this.progressText = of(progressText);
    this.isUnderWay = of(isUnderWay);
    this.tookText = of((deploy) => (deploy.ended_at ? "Took" : "Running for"));
    this.isCancelling = of((deploy) => isUnderWay(deploy) && Boolean(deploy.cancel_requested_by));
    this.rollbackOfHref = of((deploy) => (deploy.rollback_of ? `/deploys/${deploy.rollback_of}` : null));
    this.rollbackOfText = of((deploy) => (deploy.rollback_of ? `#${deploy.rollback_of}` : ""));
    this.warnings = of((deploy) => deploy.warnings ?? []);
    this.approvals = of((deploy) => approvalsText(deploy.approvals));
    this.startAt = of((deploy) => (deploy.state === "scheduled" ? deploy.start_at : null));
    this.length = { from: of((deploy) => deploy.started_at), to: of((deploy) => deploy.ended_at) };
    this.logHref = `/api/v1/deploys/${this.id}/log`;
  }

  /** The buttons, as the state allows; the server has the last word. */
  offer() {
    const refresh = () => this.live.refresh();
    const of = (read) => ko.pureComputed(() => Boolean(this.deploy()) && read(this.deploy()));
    this.canCancel = of((deploy) => isUnderWay(deploy) && !deploy.cancel_requested_by);
    this.canRetry = of((deploy) => deploy.state === "failed");
    this.canPause = of((deploy) => deploy.state === "running" && !deploy.cancel_requested_by);
    this.canResume = of((deploy) => deploy.state === "paused" && !deploy.cancel_requested_by);
    this.canApprove = of((deploy) => deploy.state === "pending_approval" && !deploy.cancel_requested_by);
    this.canRollBack = of((deploy) =>
      !isUnderWay(deploy) && deploy.state !== "rolled_back" && Boolean(deploy.previous_release));
    this.rollbackText = ko.pureComputed(() => `Roll back to ${this.deploy()?.previous_release ?? ""}`);
    this.cancel = () => askCancel(this.shell, this.deploy(), refresh);
    this.retry = () => askRetry(this.shell, this.deploy(), refresh);
    this.pause = () => askPause(this.shell, this.deploy(), refresh);
    this.resume = () => askResume(this.shell, this.deploy(), refresh);
    this.approve = () => askApprove(this.shell, this.deploy(), refresh);
    this.retryHost = (run) => askHost(this.shell, this.deploy(), run.key, "retry", refresh);
    this.skipHost = (run) => askHost(this.shell, this.deploy(), run.key, "skip", refresh);
    this.rollBack = () => askRollback(this.shell, this.deploy());
    this.showLogOf = (run) => this.log.showOnly(run.key);
    this.showLogOfStep = ({ host, name }) => this.log.showOnly(host, name);
  }

  connection() {
    const state = this.live.state();
    if (state !== "polling") return state;
    return this.feed()?.state() ?? "connecting";
  }

  async load() {
    const deploy = await get(["deploys", this.id]);
    if (this.isListDue(deploy)) await this.listHosts();
    this.live.hintPauseMs = deploy.progress.total > MANY_HOSTS ? 1000 : 250;
    this.show(deploy);
    this.followEvents();
  }

  /** Events tell what becomes of each host; the list of many is long, so it is read only now and then beside them. */
  isListDue(deploy) {
    const isNews = deploy.state !== this.deploy.peek()?.state;
    return isNews || deploy.progress.total <= MANY_HOSTS || Date.now() - this.listedAt >= LIST_EVERY_MS;
  }

  async listHosts() {
    const runs = await getAll(["deploys", this.id, "hosts"], {}, Infinity);
    this.listedAt = Date.now();
    this.hosts.update(runs.items);
  }

  show(deploy) {
    const before = this.deploy.peek();
    this.deploy(deploy);
    const { shape, word } = look(deploy.state);
    document.title = `${shape} Deploy ${deploy.id} ${word} · Windlass`;
    if (before && before.state !== deploy.state) this.shell.notice(`Deploy ${deploy.id} ${word}`);
  }

  /** Follow the history; a deploy that has ended may go on after a retry, then it is followed again. */
  followEvents() {
    const feed = this.feed.peek();
    if (!feed) this.feed(this.makeFeed());
    else if (feed.state.peek() !== "over" || !isUnderWay(this.deploy.peek())) return;
    this.feed.peek().run().then(() => this.live.refresh());
  }

  makeFeed() {
    return new Feed({
      parts: ["deploys", this.id],
      hasEnded: async () => !isUnderWay(await get(["deploys", this.id])),
      onEvents: (events) => this.heard(events),
      onRefused: (error) => this.shell.problem(`The log cannot be read: ${error.message}`),
    });
  }

  heard(events) {
    this.log.append(events);
    let hasNews = false;
    for (const event of events) {
      this.hosts.heard(event);
      if (event.kind === "deploy" || event.kind === "host") hasNews = true;
    }
    if (hasNews) this.live.hint();
  }
}

/** How far it is; where it did not succeed, also how many hosts run the release nevertheless. */
function progressText({ state, progress }) {
  const parts = [`${progress.done} of ${progress.total} hosts done`];
  if (progress.failed) parts.push(`${progress.failed} failed`);
  if (progress.switched && ["failed", "cancelled"].includes(state)) parts.push(`${progress.switched} switched`);
  return parts.join(", ");
}

/** Who agreed, and how many are still needed; nothing where nobody has to. */
function approvalsText(approvals) {
  if (!approvals?.needed) return "";
  const names = approvals.given.map(({ by }) => by).join(", ");
  return `${approvals.given.length} of ${approvals.needed}${names ? `: ${names}` : ""}`;
}

start((shell) => new DeployPage(shell));
