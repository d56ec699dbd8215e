/** What a deploy changes, host by host, as its plan tells; loaded when somebody wants to see it. */
import { get } from "../api/client.js";
import { bytes, plain } from "../lib/formats.js";
import ko from "../lib/ko.js";

const SIGNS = [["added", "+"], ["changed", "~"], ["upgraded", "~"], ["removed", "−"]];

export class Changes {
  constructor(shell, plan) {
    this.shell = shell;
    this.plan = plan;
    this.hosts = ko.observableArray();
    this.isShown = ko.observable(false);
    this.isOffered = ko.pureComputed(() => Boolean(plan()));
    this.action = ko.pureComputed(() => (this.isShown() ? "Hide the changes" : "Show the changes"));
    this.nothing = ko.pureComputed(() => (this.isShown() && !this.hosts().length ? "No host has been looked at yet." : ""));
    this.toggle = () => (this.isShown() ? this.isShown(false) : this.show());
  }

  show() {
    return this.shell.attempt(async () => {
      const { hosts, skipped } = await get(["plans", this.plan()]);
      this.hosts([
        ...hosts.map((host) => ({ name: host.host, summary: summary(host), text: plainLines(host).join("\n") })),
        ...(skipped ?? []).map(({ host, reason }) => ({ name: host, summary: `left out, ${reason}`, text: "" })),
      ]);
      this.isShown(true);
    });
  }
}

/** Return one line about what happens on a host. */
export function summary({ unchanged, current_release, new_release, bytes_to_send }) {
  if (unchanged) return `unchanged, already runs ${new_release}`;
  return `${current_release ?? "nothing"} → ${new_release}, ${bytes(bytes_to_send)} to send`;
}

function plainLines(host) {
  return [...configureLines(host.configure), ...repairLines(host.repairs), ...fileLines(host.files), ...packageLines(host.packages), ...variableLines(host.variables), ...processLines(host.processes),
    ...host.configuration.flatMap(({ diff }) => diff.trimEnd().split("\n"))].map(plain);
}

function configureLines(entries) {
  return (entries ?? []).map(({ integration, run, when, check }) => `run ${integration}: ${run} ${when}${check ? ", only to see what it would change" : ""}`);
}

function repairLines(repairs) {
  return (repairs ?? []).map(({ tree, path }) => `repair ${path} of the ${tree}`);
}

function fileLines(files) {
  if (!files) return ["files: what ran there was not built here"];
  const listed = SIGNS.flatMap(([kind, sign]) => (files[kind] ?? []).map(({ path, size }) => `${sign} ${path}  ${bytes(size)}`));
  const more = Object.values(files.counts).reduce((sum, count) => sum + count, 0) - listed.length;
  return more ? [...listed, `and ${more} more files`] : listed;
}

function packageLines(packages) {
  if (!packages) return ["packages: what ran there was not built here"];
  return SIGNS.flatMap(([kind, sign]) => (packages[kind] ?? []).map(({ name, version, from, to }) =>
    `${sign} package ${name} ${version ?? `${from} → ${to}`}`));
}

function variableLines(variables) {
  return SIGNS.flatMap(([kind, sign]) => (variables[kind] ?? []).map((name) => `${sign} variable ${name}`));
}

function processLines({ start, stop }) {
  const told = (verb) => ({ name, slot }) => `${verb} ${name} (slot ${slot})`;
  return [...start.map(told("start")), ...stop.map(told("stop"))];
}
