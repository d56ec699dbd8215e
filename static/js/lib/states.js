/** How states look: a shape and a word each, so that nothing depends on telling colours apart. */

const SHAPES = {
  good: "✓", bad: "✕", busy: "◐", waiting: "○", warning: "▲", back: "↶", none: "–", stopped: "■", paused: "‖",
};
const STATES = { // state -> [kind, word]; the word is the state itself unless given
  succeeded: ["good"], ready: ["good"], healthy: ["good"], done: ["good"], unchanged: ["good"],
  failed: ["bad"], unhealthy: ["bad"], unreachable: ["bad"], problems: ["bad", "has problems"],
  running: ["busy"], building: ["busy"],
  rolling_back: ["busy", "rolling back"],
  rolled_back: ["back", "rolled back"],
  queued: ["waiting"], pending: ["waiting"], waiting: ["waiting"], scheduled: ["waiting"], new: ["waiting", "not checked yet"],
  pending_approval: ["waiting", "waiting for approval"],
  paused: ["paused"], maintenance: ["paused", "in maintenance"],
  cancelled: ["stopped"], skipped: ["none"], not_run: ["none", "not run"], unknown: ["none"], never: ["none", "never deployed"],
  delivered: ["good"], superseded: ["none", "overtaken"],
  unclear: ["warning"], frozen: ["paused"], locked: ["paused"],
  asked: ["good", "in use"], told: ["good"], left_alone: ["paused", "left alone for now"], refused: ["bad", "credentials refused"],
  deployed: ["good"], switched_off: ["paused", "switched off"],
  intact: ["good"], altered: ["bad"],
  works: ["good"], fails: ["bad"],
  drift: ["warning"], closed: ["paused"], open: ["good"],
};

/** Deploy states after which nothing more happens by itself. */
export const ENDED_DEPLOY = new Set(["succeeded", "failed", "rolled_back", "cancelled"]);
/** Host-run states after which nothing more happens. */
export const ENDED_HOST = new Set(["succeeded", "unchanged", "failed", "rolled_back", "skipped", "unreachable"]);
/** The steps of a host run, in their order. */
export const STEPS = ["connect", "preflight", "ship", "environment", "configure", "start", "check", "switch", "drain", "clean"];

/** Return {kind, shape, word} of a state; one that is not known here is shown as it is. */
export function look(state) {
  const [kind, word] = STATES[state] ?? ["none"];
  return { kind, shape: SHAPES[kind], word: word ?? String(state).replaceAll(/[_-]/g, " ") };
}
