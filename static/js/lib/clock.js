/**
 * The server's clock, so that "3 s ago" is right on a computer whose own clock is wrong: `Date` headers tell the
 * difference. `now` is an observable of milliseconds that ticks every second while the page is visible.
 */
import ko from "./ko.js";

const TICK_MS = 1000;
const TOLERANCE_MS = 2000; // A Date header has whole seconds and the answer has been under way for a while.
let offset = 0;

export const now = ko.observable(Date.now());

/** Learn the difference to the server's clock from the Date header of an answer that has just come. */
export function learn(dateHeader) {
  const server = Date.parse(dateHeader ?? "");
  if (Number.isNaN(server)) return;
  const difference = server + 500 - Date.now();
  offset = Math.abs(difference) > TOLERANCE_MS ? difference : 0;
}

function tick() {
  if (!document.hidden) now(Date.now() + offset);
}

setInterval(tick, TICK_MS);
document.addEventListener("visibilitychange", tick);
