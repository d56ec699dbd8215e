/** A target's rules: what is deployed there without anybody asking. Pure functions. */

/** The kinds of messages a rule may be about, by what the application is built from. */
export const KINDS_OF = {
  repository: [{ value: "branch", label: "a branch" }, { value: "tag", label: "a tag" }],
  package: [{ value: "version", label: "a version" }],
};

/** Return {kind, pattern, isGreen} of a rule of the API. */
export function partsOf(rule) {
  const kind = ["branch", "tag", "version"].find((name) => rule[name]);
  return { kind, pattern: rule[kind], isGreen: Boolean(rule.require_green_build) };
}

/** Return the rule of the API for what a form holds. */
export function ruleOf({ kind, pattern, isGreen }) {
  return { [kind]: pattern.trim() || null, ...(kind === "version" ? {} : { require_green_build: isGreen }) };
}

/** Return a rule in words, for instance "pushes to main, after a green build". */
export function ruleText(rule) {
  const { kind, pattern, isGreen } = partsOf(rule);
  const news = { branch: "pushes to", tag: "tags", version: "versions" }[kind];
  return `${news} ${pattern}${isGreen ? ", after a green build" : ""}`;
}
