/** An application: where it runs, its releases with their builds, its newest deploys. */
import { change, get } from "../api/client.js";
import { Live } from "../api/live.js";
import { ApplicationForm } from "../applications/application_form.js";
import { BuildPanel } from "../applications/build_panel.js";
import { askDeleteApplication, askDeleteTarget } from "../applications/deletions.js";
import { ruleText } from "../applications/rules.js";
import { RulesDialog } from "../applications/rules_dialog.js";
import { TargetCell } from "../applications/target_cell.js";
import { TargetForm } from "../applications/target_form.js";
import { VariablesDialog } from "../applications/variables_dialog.js";
import { DeployDialog } from "../deploys/deploy_dialog.js";
import { showDeploys } from "../deploys/deploy_rows.js";
import { askCancelBuild } from "../deploys/rollout_actions.js";
import { strategyText } from "../deploys/strategy.js";
import { driftRows } from "../fleet/drift.js";
import { LockForm } from "../guards/lock_form.js";
import { MaintenanceForm } from "../guards/maintenance_form.js";
import { bytes, plain, short } from "../lib/formats.js";
import { updateKeyed } from "../lib/keyed.js";
import ko from "../lib/ko.js";
import { Choices } from "../widgets/choices.js";
import { DataRow } from "../widgets/data_row.js";
import { Form } from "../widgets/form.js";
import { start, subject } from "../widgets/shell.js";

const BUILDING_MS = 2000;
const USUAL_MS = 15_000;
const OFFERED = 100;

class ReleaseRow extends DataRow {
  constructor(page) {
    super();
    this.from = this.of(fromText);
    this.commit = this.of((release) => short(release.commit));
    this.noCommit = this.of((release) => !release.commit);
    this.size = this.of((release) => bytes(release.size_bytes));
    this.error = this.of((release) => plain(release.error ?? ""));
    this.outputName = this.of((release) => `Show the build output of ${release.version}`);
    this.showOutput = () => page.build.show(this.data().version);
    this.mayCancel = this.of((release) => release.state === "building" && !release.cancel_requested_by);
    this.cancelName = this.of((release) => `Cancel the build of ${release.version}`);
    this.cancel = () => askCancelBuild(page.shell, { ...this.data(), application: page.name }, () => page.live.refresh());
  }
}

/** What a release was made from; a commit has a column of its own. */
function fromText({ ref, commit, package_version: version }) {
  return ref && ref === commit ? "its commit" : ref || version || "";
}

class TargetRow {
  constructor(page) {
    this.cell = new TargetCell(page.shell, page.deployDialog);
    this.target = ko.observable({});
    this.environment = ko.pureComputed(() => this.target().environment);
    this.hosts = ko.pureComputed(() => (this.target().resolved_hosts ?? []).map((name) => ({ name, href: `/hosts/${encodeURIComponent(name)}` })));
    this.tags = ko.pureComputed(() => tagsText(this.target()));
    this.strategy = ko.pureComputed(() => strategyText(this.target().strategy));
    this.health = ko.pureComputed(() => healthText(this.target().health));
    this.rules = ko.pureComputed(() => (this.target().rules ?? []).map(ruleText).join("; "));
    this.variablesName = ko.pureComputed(() => `Variables of ${this.environment()}`);
    this.showVariables = () => page.variables.show(this.environment());
    this.rulesName = ko.pureComputed(() => `Rules of ${this.environment()}`);
    this.showRules = () => page.rules.show(this.environment());
    this.deleteName = ko.pureComputed(() => `Delete the target ${this.environment()}`);
    this.remove = () => askDeleteTarget(page.shell, this.target(), this.cell.observed(), () => page.live.refresh());
    this.editName = ko.pureComputed(() => `Edit the target ${this.environment()}`);
    this.edit = () => page.targetForm.edit(this.environment());
    this.offerRepair(page);
    this.offerMaintenance(page);
    this.offerLock(page);
  }

  offerLock(page) {
    const lock = ko.pureComputed(() => this.cell.item().lock);
    this.isLocked = ko.pureComputed(() => Boolean(lock()));
    this.unlockText = ko.pureComputed(() => (lock()?.holder === page.shell.user()?.name ? "Unlock" : "Break the lock"));
    this.lockName = ko.pureComputed(() => `Lock ${this.environment()}`);
    this.unlockName = ko.pureComputed(() => `${this.unlockText()}: ${this.environment()}`);
    this.lock = () => page.lockForm.show(this.environment());
    this.unlock = () => page.lockForm.askUnlock(this.environment(), lock());
  }

  offerRepair(page) {
    const item = this.cell.item;
    this.drifted = ko.pureComputed(() => driftRows(item().hosts, ({ host }) => host));
    this.isDrifted = ko.pureComputed(() => this.drifted().length > 0 && Boolean(item().desired));
    this.repairText = ko.pureComputed(() => `Deploy ${item().desired} again`);
    this.repairName = ko.pureComputed(() => `Deploy ${item().desired} to ${this.environment()} again`);
    this.repair = () => page.deployDialog.open({ ...item(), running: this.cell.observed(), release: item().desired });
  }

  offerMaintenance(page) {
    this.maintenance = ko.observable(null);
    this.isClosed = ko.pureComputed(() => Boolean(this.cell.item().maintenance));
    this.following = ko.pureComputed(() => (this.maintenance()?.hosts ?? []).map((host) => ({ ...host, message: host.message ?? "" })));
    this.isFollowing = ko.pureComputed(() => this.following().some(({ state }) => !["closed", "open"].includes(state)));
    this.shutName = ko.pureComputed(() => `Put ${this.environment()} into maintenance`);
    this.openName = ko.pureComputed(() => `Lift the maintenance of ${this.environment()}`);
    this.shut = () => page.maintenanceForm.show(this.environment());
    this.open = () => page.maintenanceForm.askLift(this.environment());
  }

  /** What has to be asked for besides: how far the hosts are, while a maintenance is on or has just been lifted. */
  async updateMaintenance(path) {
    if (this.isClosed() || this.maintenance()) this.maintenance(await get([...path, "targets", this.environment(), "maintenance"]));
    if (!this.isClosed() && !this.isFollowing()) this.maintenance(null);
  }

  update({ target, item }) {
    this.target(target);
    this.cell.update(item);
  }
}

function tagsText({ hosts, resolved_hosts: resolved }) {
  if (!hosts?.tags) return "";
  return `tagged ${hosts.tags.join(" and ")}${resolved?.length ? ":" : ": none now"}`;
}

function healthText(health) {
  if (!health?.path) return "";
  return `GET ${health.path} answers ${health.expect_status ?? "2xx or 3xx"} within ${health.timeout_s}\u00a0s`;
}

class ApplicationPage {
  constructor(shell) {
    this.shell = shell;
    this.name = subject().application;
    this.application = ko.observable(null);
    this.targets = ko.observableArray();
    this.releases = ko.observableArray();
    this.deploys = ko.observableArray();
    this.deployDialog = new DeployDialog();
    this.live = new Live({ load: () => this.load() });
    this.build = new BuildPanel(shell, this.name, () => this.live.hint());
    this.applicationForm = new ApplicationForm(() => this.live.refresh());
    this.targetForm = new TargetForm(shell, this.name, () => this.live.refresh());
    this.variables = new VariablesDialog(shell, this.name);
    this.rules = new RulesDialog(shell, this.name, () => this.live.refresh());
    this.maintenanceForm = new MaintenanceForm(shell, this.name, () => this.live.refresh());
    this.lockForm = new LockForm(shell, this.name, () => this.live.refresh());
    this.releaseForm = this.makeReleaseForm();
    this.refs = this.offer("ref", "refs", "name");
    this.versions = this.offer("package_version", "versions", "version");
    this.remove = () => askDeleteApplication(shell, this.application(), this.targets().map(({ environment }) => environment()));
    this.edit = () => this.applicationForm.show(this.application());
    this.describe();
    shell.follow(this.live);
    this.live.start();
  }

  describe() {
    const source = ko.pureComputed(() => this.application()?.source ?? {});
    this.isPackage = ko.pureComputed(() => Boolean(source().package));
    this.sourceText = ko.pureComputed(() => source().repository ?? source().package ?? "");
    this.sourceNote = ko.pureComputed(() => [
      source().branch && `branch ${source().branch}`, source().integration && `through ${source().integration}`,
      this.application()?.team && `team ${this.application().team}`].filter(Boolean).join(", "));
    this.refHint = ko.pureComputed(() => source().branch ?? "main");
    this.isMissing = ko.pureComputed(() => this.live.error()?.status === 404);
    this.missing = ko.pureComputed(() => this.live.error()?.message);
    this.isLoading = ko.pureComputed(() => !this.application() && !this.isMissing());
    this.hasNoTargets = ko.pureComputed(() => !this.targets().length);
    this.hasNoReleases = ko.pureComputed(() => !this.releases().length);
    this.hasNoDeploys = ko.pureComputed(() => !this.deploys().length);
    this.allDeploysHref = `/deploys?application=${encodeURIComponent(this.name)}`;
  }

  /** What a field of the form for releases may hold; `member` of what the API lists at `list`. */
  offer(field, list, member) {
    return new Choices(this.releaseForm.values[field], async (query) => {
      const { items } = await get(["applications", this.name, list], { query, limit: OFFERED });
      return items.map((item) => item[member]);
    });
  }

  makeReleaseForm() {
    return new Form({
      initial: { ref: "", package_version: "" },
      submit: (values, key) => {
        const name = this.isPackage() ? "package_version" : "ref";
        const value = values[name].trim() || (this.isPackage() ? "" : this.refHint());
        return change("POST", ["applications", this.name, "releases"], { [name]: value }, { key });
      },
      done: (release) => {
        this.releaseForm.reset();
        this.build.show(release.version);
        return this.live.refresh();
      },
    });
  }

  async load() {
    const path = ["applications", this.name];
    const [application, targets, status, releases, deploys] = await Promise.all([
      get(path), get([...path, "targets"], { limit: 200 }), get(["status"], { application: this.name, limit: 200 }),
      get([...path, "releases"], { limit: 30 }), get(["deploys"], { application: this.name, limit: 10 })]);
    this.application(application);
    const items = new Map(status.items.map((item) => [item.environment, item]));
    const order = new Map(status.environments.map(({ name }, index) => [name, index]));
    const rows = targets.items.filter((target) => items.has(target.environment))
      .map((target) => ({ target, item: items.get(target.environment) }))
      .sort((a, b) => order.get(a.target.environment) - order.get(b.target.environment));
    updateKeyed(this.targets, rows, ({ target }) => target.environment, () => new TargetRow(this));
    await Promise.all(this.targets().map((target) => target.updateMaintenance(path)));
    updateKeyed(this.releases, releases.items, (release) => release.version, () => new ReleaseRow(this));
    showDeploys(this.deploys, deploys.items);
    this.live.everyMs = releases.items.some(({ state }) => state === "building") ? BUILDING_MS : USUAL_MS;
  }
}

start((shell) => new ApplicationPage(shell));
