/** A host: what it needs before it can be deployed to, what was observed there, and taking it out of service. */
import { change, get } from "../api/client.js";
import { Live } from "../api/live.js";
import { askDeleteHost } from "../applications/deletions.js";
import { driftRows } from "../fleet/drift.js";
import { factRows } from "../fleet/facts.js";
import { HostForm } from "../fleet/host_form.js";
import ko from "../lib/ko.js";
import { Form } from "../widgets/form.js";
import { start, subject } from "../widgets/shell.js";

class HostPage {
  constructor(shell) {
    this.shell = shell;
    this.name = subject().host;
    this.host = ko.observable(null);
    this.publicKey = ko.observable("");
    this.isChecking = ko.observable(false);
    this.isReadingKey = ko.observable(false);
    this.live = new Live({ load: () => this.load() });
    this.hostForm = new HostForm(shell, () => this.live.refresh());
    this.describe();
    this.offer();
    shell.follow(this.live);
    this.live.start();
  }

  describe() {
    const of = (read) => ko.pureComputed(() => (this.host() ? read(this.host()) : ""));
    this.isMissing = ko.pureComputed(() => this.live.error()?.status === 404);
    this.missing = ko.pureComputed(() => this.live.error()?.message);
    this.isLoading = ko.pureComputed(() => !this.host() && !this.isMissing());
    this.place = of(({ transport, user, address, port }) =>
      (transport === "local" ? "the worker's own machine" : `${user}@${address}, port ${port}`));
    this.tags = of((host) => host.tags.join(", ") || "none");
    this.isSsh = of((host) => host.transport === "ssh");
    this.isTrusted = of((host) => Boolean(host.host_key));
    this.fingerprint = of((host) => host.host_key_fingerprint || "");
    this.isObserved = of((host) => Boolean(host.observed_at));
    this.needsKey = of((host) => host.transport === "ssh" && !host.host_key);
    this.needsCheck = of((host) => !host.observed_at);
    this.isSettingUp = ko.pureComputed(() => this.needsKey() || this.needsCheck());
    this.isInMaintenance = of((host) => Boolean(host.maintenance_reason));
    this.problems = of((host) => host.problems ?? []);
    this.hasNoProblems = of((host) => Boolean(host.observed_at) && !host.problems?.length);
    this.facts = of((host) => factRows(host.facts));
    this.settings = of((host) => JSON.stringify(host.settings, null, 2));
    this.placed = of((host) => (host.placements ?? []).map((one) => ({
      title: titleOf(one), href: `/applications/${encodeURIComponent(one.application)}`, at: one.observed_at,
      release: (one.observed ?? "nothing") + (one.stale ? ", not looked at for long" : "") })));
    this.hasPlacements = of((host) => Boolean(host.placements?.length));
    this.drifted = of((host) => driftRows(host.placements, titleOf));
    this.isDrifted = ko.pureComputed(() => this.drifted().length > 0);
    this.trustCommand = `windlass hosts trust ${this.name}`;
    this.checkCommand = `windlass hosts check ${this.name}`;
  }

  offer() {
    this.edit = () => this.hostForm.edit(this.name);
    this.remove = () => askDeleteHost(this.shell, this.name, this.place(), this.placed().map(({ title, release }) => `${title}: ${release}`));
    this.check = () => this.checkNow();
    this.isObserving = ko.observable(false);
    this.observe = () => this.observeNow();
    this.trust = () => this.askTrust();
    this.trustText = ko.pureComputed(() => (this.isTrusted() ? "Replace the host key" : "Trust its key"));
    this.maintenanceForm = new Form({
      initial: { reason: "" },
      submit: ({ reason }, key) => change("POST", this.path("maintenance"), { reason: reason.trim() }, { key }),
      done: () => {
        this.maintenanceForm.reset();
        return this.live.refresh();
      },
    });
    this.endMaintenance = () => this.shell.attempt(async () => {
      await change("POST", this.path("maintenance"), { enabled: false });
      await this.live.refresh();
    });
  }

  path(...rest) {
    return ["hosts", this.name, ...rest];
  }

  async load() {
    const host = await get(this.path());
    if (host.transport === "ssh") this.publicKey((await get(["zones", host.zone])).public_key ?? "");
    this.host(host);
  }

  async checkNow() {
    this.isChecking(true);
    await this.shell.attempt(async () => {
      await change("POST", this.path("check"));
      await this.live.refresh();
      this.shell.notice(`${this.name} was checked`);
    });
    this.isChecking(false);
  }

  async observeNow() {
    this.isObserving(true);
    await this.shell.attempt(async () => {
      await change("POST", this.path("observe"), {});
      await this.live.refresh();
      this.shell.notice(`${this.name} was compared with what was deployed`);
    });
    this.isObserving(false);
  }

  /** Show the fingerprint that the host shows now; only exactly that key is pinned afterwards. */
  async askTrust() {
    this.isReadingKey(true);
    await this.shell.attempt(async () => this.confirmKey(await change("POST", this.path("trust"), { preview: true })));
    this.isReadingKey(false);
  }

  confirmKey({ fingerprint, host_key: key }) {
    const before = this.fingerprint();
    const isAnother = before && before !== fingerprint;
    this.shell.confirm.ask({
      title: `Trust the key of ${this.name}?`,
      facts: [
        { name: "Host", value: `${this.name} (${this.place()})` },
        { name: "Key type", value: (key ?? "").split(" ")[0] },
        { name: "Fingerprint", value: fingerprint },
        { name: "Trusted until now", value: isAnother ? before : "" },
      ],
      warning: isAnother
        ? "The host shows another key than the one trusted until now. Unless it was reinstalled, somebody may be in between."
        : "Compare it with what the host itself says: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
      action: isAnother ? "Trust the new key" : "It is the same: trust it",
      isDangerous: Boolean(isAnother),
      run: (idempotencyKey) => change("POST", this.path("trust"), { fingerprint }, { key: idempotencyKey }),
      done: () => this.live.refresh(),
    });
  }
}

/** Return what names an application on a host. */
function titleOf({ application, environment }) {
  return `${application} in ${environment}`;
}

start((shell) => new HostPage(shell));
