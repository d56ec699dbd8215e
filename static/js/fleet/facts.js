/** What was observed on a host, as names and values for people. */
import { bytes } from "../lib/formats.js";

/** Return [{name, value}] of the facts that a host's agent reports; empty ones are left out. */
export function factRows(facts) {
  if (!facts) return [];
  const { supervisor, nginx } = facts;
  const rows = [
    ["Host name", facts.hostname],
    ["System", [facts.distribution, facts.system, facts.machine].filter(Boolean).join(", ")],
    ["C library", facts.libc?.filter(Boolean).join(" ")],
    ["Python", facts.python],
    ["Other Pythons", Object.keys(facts.pythons ?? {}).join(", ")],
    ["User", facts.user],
    ["CPUs", facts.cpus],
    ["Memory", bytes(facts.memory_bytes)],
    ["Free disk space", bytes(facts.disk_free_bytes)],
    ["Free inodes", facts.inodes_free?.toLocaleString()],
    [supervisor?.kind ?? "supervisord", supervisor && (supervisor.reachable ? supervisor.version || "reachable" : "not reachable")],
    ["nginx", nginx && (nginx.version ?? "not found")],
  ];
  const isKnown = ([, value]) => value !== undefined && value !== null && value !== "";
  return rows.filter(isKnown).map(([name, value]) => ({ name, value: String(value) }));
}
