/** The circuit breaker of a foreign system in words: whether the system is asked now, and why not. Pure functions. */
import { absolute } from "../lib/formats.js";

/** Return the state of a system by its circuit (API shape); `usual` is that of one that is asked. */
export function stateOf(circuit, usual = "asked") {
  if (circuit?.state !== "open") return usual;
  return circuit.until ? "left_alone" : "refused";
}

/** Return why a system is not asked, and what changes that; nothing for one that is. */
export function reasonOf(circuit) {
  if (circuit?.state !== "open") return "";
  const next = circuit.until
    ? `It is asked again at ${absolute(Date.parse(circuit.until))}.`
    : "It is not asked again until its credentials are changed or it is tested.";
  return [circuit.reason, next].filter(Boolean).join(" ");
}
