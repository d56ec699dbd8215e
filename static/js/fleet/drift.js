/** How hosts differ from what was deployed on them, as rows to show; both /status and /hosts/<name> tell it in one shape. */
import { plain } from "../lib/formats.js";

/** Return rows {title, since, items: [{message, diff}]} of those of `found` that have drifted; titleOf(one) names each. */
export function driftRows(found, titleOf) {
  return (found ?? []).filter(({ drift }) => drift?.length).map((one) => ({
    title: titleOf(one),
    since: one.drifted_since,
    items: one.drift.map(({ message, diff }) => ({ message: plain(message), diff: diff ? diff.split("\n").map(plain).join("\n") : "" })),
  }));
}
