/** One application in one environment, as /status tells it: what should run, what does, and what can be done about it. */
import { askTargetRollback, isUnderWay } from "../deploys/rollout_actions.js";
import { lockedText } from "../guards/lock_form.js";
import { closedText } from "../guards/maintenance_form.js";
import { counted } from "../lib/formats.js";
import ko from "../lib/ko.js";
import { look } from "../lib/states.js";

export class TargetCell {
  constructor(shell, deployDialog) {
    this.shell = shell;
    this.item = ko.observable({});
    const of = (read) => ko.pureComputed(() => read(this.item()));
    this.isUnderWay = of((item) => isUnderWay(item.deploy));
    this.deployHref = of((item) => (item.deploy ? `/deploys/${item.deploy.id}` : null));
    this.deployLabel = of((item) => (item.deploy ? `#${item.deploy.id} ${item.deploy.release}` : ""));
    this.deployedAt = of((item) => item.deploy?.ended_at ?? item.deploy?.started_at ?? item.deploy?.created_at);
    this.observed = of(observedText);
    this.differs = of((item) => Boolean(item.desired) && item.observed !== item.desired);
    this.drift = of((item) => (item.drift ? item.drift_detail || "What runs is not what was deployed." : ""));
    this.closed = of((item) => closedText(item.maintenance));
    this.locked = of((item) => lockedText(item.lock));
    this.unreachable = of((item) => (item.unreachable ?? []).join(", "));
    this.unsure = of((item) => this.unreachable() || (item.stale ? "Not looked at for long: is a worker of its zone running?" : ""));
    this.linkToSite = of((item) => (/^https?:\/\//.test(item.url ?? "") ? item.url : null));
    this.cannotRollBack = of((item) => Boolean(whyNoRollback(item)));
    this.rollbackTitle = of((item) => whyNoRollback(item) || null);
    this.deployName = of((item) => `Deploy ${item.application} to ${item.environment}`);
    this.rollbackName = of((item) => `Roll back ${item.application} in ${item.environment}`);
    this.deploy = () => deployDialog.open({ ...this.item(), running: this.observed() });
    this.rollBack = () => askTargetRollback(shell, this.item(), this.item().deploy);
  }

  update(item) {
    const before = this.item.peek().deploy;
    const after = item.deploy;
    if (before && after && (before.id !== after.id || before.state !== after.state)) {
      this.shell.notice(`${item.application} in ${item.environment}: deploy ${after.id} ${look(after.state).word}`);
    }
    this.item(item);
  }
}

function observedText(item) {
  const hosts = item.hosts ?? [];
  if (!hosts.length) return "nothing yet";
  if (item.observed) return `${item.observed} on ${counted(hosts.length, "host")}`;
  const count = new Map();
  for (const { release } of hosts) count.set(release ?? "nothing", (count.get(release ?? "nothing") ?? 0) + 1);
  return [...count].map(([release, number]) => `${release} on ${counted(number, "host")}`).join(", ");
}

/** Return why nothing can be rolled back now, or an empty text. */
function whyNoRollback({ deploy, previous_release: previous }) {
  if (isUnderWay(deploy)) return `Deploy ${deploy.id} has not ended yet`;
  const leftSomething = deploy && ["failed", "cancelled"].includes(deploy.state);
  return deploy && (previous || leftSomething) ? "" : "There is no earlier release to go back to";
}
