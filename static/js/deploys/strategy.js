/** A rollout's strategy in words. */
import { counted } from "../lib/formats.js";

const ON_FAILURE = {
  rollback: "roll back on failure", stop: "stop on failure", continue: "go on after failures",
};

/** Return for instance "rolling, 2 hosts at a time, roll back on failure". */
export function strategyText(strategy) {
  if (!strategy?.kind) return "";
  const parts = [strategy.kind.replaceAll("-", " ")];
  if (strategy.kind !== "all-at-once" && strategy.batch) {
    const size = typeof strategy.batch === "number" ? counted(strategy.batch, "host") : strategy.batch;
    parts.push(`${size} ${strategy.kind === "canary" ? "first" : "at a time"}`);
  }
  if (strategy.pause_s) parts.push(strategy.pause_s === "resume" ? "paused until resumed between batches" : `${strategy.pause_s} s between batches`);
  if (strategy.bake_s) parts.push(`${strategy.bake_s} s under watch`);
  if (ON_FAILURE[strategy.on_failure]) parts.push(ON_FAILURE[strategy.on_failure]);
  return parts.join(", ");
}
