/** The form for a target: which hosts of an environment an application goes to, and how. */
import { change, etagOf, get, getAll } from "../api/client.js";
import { number } from "../lib/formats.js";
import ko from "../lib/ko.js";
import { Form } from "../widgets/form.js";

const NEW_ENVIRONMENT = "+"; // No environment can be called so.
const EMPTY = {
  environment: "", newEnvironment: "", hosts: [], tags: "", kind: "all-at-once", batch: "", on_failure: "rollback",
  path: "/", timeout_s: "30", expect_status: "", server_names: "",
};
const WHOLE = ["hosts", "health", "processes", "server_names", "rules", "configure", "drain_s", "keep_warm"];

export class TargetForm {
  constructor(shell, application, done) {
    this.application = application;
    this.isOpen = ko.observable(false);
    this.existing = ko.observable(null);
    this.environments = ko.observableArray();
    this.hosts = ko.observableArray();
    this.form = new Form({
      initial: EMPTY,
      submit: (values, key) => this.submit(values, key),
      done: () => {
        this.isOpen(false);
        return done();
      },
      fieldOf: fieldOf,
    });
    const values = this.form.values;
    this.isNew = ko.pureComputed(() => !this.existing());
    this.title = ko.pureComputed(() =>
      (this.existing() ? `Edit the target ${this.existing().environment}` : `Add a target for ${application}`));
    this.namesEnvironment = ko.pureComputed(() => this.isNew() && values.environment() === NEW_ENVIRONMENT);
    this.hasBatch = ko.pureComputed(() => values.kind() !== "all-at-once");
    this.batchLabel = ko.pureComputed(() => (values.kind() === "canary" ? "At first" : "At a time"));
    this.hasNoHosts = ko.pureComputed(() => this.hosts().length === 0);
    this.hostsError = ko.pureComputed(() => this.form.errorOf("hosts"));
    this.close = () => this.isOpen(false);
    this.open = () => shell.attempt(() => this.show(null));
    this.edit = (environment) => shell.attempt(() => this.show(environment));
  }

  /** Open it for a new target, or for the one in an environment. */
  async show(environment) {
    const existing = environment ? await get(this.pathOf(environment)) : null;
    const [environments, hosts] = await Promise.all([getAll(["environments"]), getAll(["hosts"])]);
    this.existing(existing);
    const names = environments.items.map(({ name }) => name);
    this.environments([...names.map((name) => ({ name, label: name })), { name: NEW_ENVIRONMENT, label: "a new one…" }]);
    this.hosts(hosts.items.map(({ name }) => name));
    this.form.reset(existing ? valuesOf(existing) : { ...EMPTY, hosts: [], environment: names[0] ?? NEW_ENVIRONMENT });
    this.isOpen(true);
  }

  pathOf(environment) {
    return ["applications", this.application, "targets", environment];
  }

  async submit(values, key) {
    let environment = this.existing()?.environment ?? values.environment;
    if (this.namesEnvironment()) {
      environment = values.newEnvironment.trim();
      if (!this.isMade(environment)) await change("POST", ["environments"], { name: environment }, { key });
      this.madeEnvironment = environment;
    }
    const path = this.pathOf(environment);
    return change("PUT", path, this.bodyOf(values), { ifMatch: this.existing() ? etagOf(path) : undefined });
  }

  /** Whether the environment was made by an earlier submission of this form whose target was refused. */
  isMade(environment) {
    return this.madeEnvironment === environment;
  }

  bodyOf(values) {
    const existing = this.existing();
    const tags = words(values.tags);
    return {
      ...(existing ? wholeOf(existing) : {}), // What PUT would reset although this form does not show it.
      hosts: tags.length ? { tags } : values.hosts,
      strategy: { ...strategyKept(existing, values.kind), ...strategyOf(values) },
      health: {
        path: values.path.trim() || "/", timeout_s: number(values.timeout_s) ?? 30,
        expect_status: number(values.expect_status) ?? null,
      },
      server_names: words(values.server_names),
    };
  }
}

/** Return a target (API shape) as PUT takes it: all that it is. */
export function wholeOf(target) {
  const strategy = Object.fromEntries(Object.entries(target.strategy).filter(([, value]) => value !== null && value !== undefined));
  return { ...Object.fromEntries(WHOLE.map((name) => [name, target[name]])), strategy };
}

function valuesOf(target) {
  const { hosts, strategy, health } = target;
  return {
    ...EMPTY, environment: target.environment,
    hosts: Array.isArray(hosts) ? [...hosts] : [], tags: Array.isArray(hosts) ? "" : hosts.tags.join(", "),
    kind: strategy.kind, batch: String(strategy.batch ?? ""), on_failure: strategy.on_failure ?? "rollback",
    path: health.path ?? "/", timeout_s: String(health.timeout_s ?? ""), expect_status: String(health.expect_status ?? ""),
    server_names: (target.server_names ?? []).join(", "),
  };
}

/** What the form does not show of a strategy; a batch, and whether the first host goes alone, go with its kind. */
function strategyKept(target, kind) {
  const { batch, healthy_first: healthyFirst, ...rest } = target ? wholeOf(target).strategy : {};
  return rest.kind === kind ? { ...rest, healthy_first: healthyFirst } : rest;
}

function strategyOf({ kind, batch, on_failure: onFailure }) {
  const size = batch.trim();
  const strategy = { kind, on_failure: onFailure };
  if (kind !== "all-at-once" && size) strategy.batch = size.endsWith("%") ? size : number(size);
  return strategy;
}

function words(text) {
  return text.split(/[\s,]+/).filter(Boolean);
}

/** Return the input for a field of the API: "strategy.batch" is "batch", "hosts.3" is "hosts", "name" the environment's. */
function fieldOf(field) {
  const parts = field.split(".");
  if (parts[0] === "hosts") return parts[1] === "tags" ? "tags" : "hosts";
  if (parts[0] === "name" || parts[0] === "position") return "newEnvironment";
  return ["strategy", "health"].includes(parts[0]) ? parts[1] ?? "kind" : parts[0];
}
