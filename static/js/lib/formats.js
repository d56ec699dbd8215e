/** Times, sizes and log text as people read them. Pure functions; times are milliseconds since 1970 unless said otherwise. */

const UNITS = [[86_400_000, "d"], [3_600_000, "h"], [60_000, "min"], [1000, "s"]];
// CSI and OSC sequences and other escapes, then every control character but tab. What a host prints is shown as plain text.
const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])?|[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

/** Return "3 min ago", "in 2 h" or "just now" for two points in time. */
export function ago(then, now) {
  const distance = Math.abs(now - then);
  if (distance < 1000) return "just now";
  const [size, unit] = UNITS.find(([size]) => distance >= size);
  const amount = `${Math.floor(distance / size)} ${unit}`;
  return then <= now ? `${amount} ago` : `in ${amount}`;
}

/** Return a length of time in milliseconds as "340 ms", "4.2 s", "3:07 min" or "2:05:10 h". */
export function duration(milliseconds) {
  const length = Math.max(0, milliseconds);
  if (length < 1000) return `${Math.round(length)} ms`;
  if (length < 59_950) return `${(length / 1000).toFixed(1)} s`;
  const seconds = Math.round(length / 1000);
  const two = (number) => String(number).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${two(seconds % 60)} min`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)} h`;
}

/** Return an absolute local time with the zone's name, for people. */
export function absolute(time) {
  return new Date(time).toLocaleString(undefined, {
    year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
    timeZoneName: "short",
  });
}

/** Return the local time of day as "14:03:07". */
export function timeOfDay(time) {
  const date = new Date(time);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
}

/** Return a number of bytes as "1.4 MB", nothing for null. */
export function bytes(count) {
  if (typeof count !== "number") return "";
  if (count < 1000) return `${count} B`;
  let rest = count;
  for (const unit of ["kB", "MB", "GB"]) {
    rest /= 1000;
    if (rest < 999.5 || unit === "GB") return `${rest < 9.95 ? rest.toFixed(1) : Math.round(rest)} ${unit}`;
  }
  return "";
}

/** Return the first characters of a commit or digest. */
export function short(digest) {
  return digest ? digest.slice(0, 10) : "";
}

/** Return the number a text stands for, undefined for an empty one; what is no number goes to the API, which says so. */
export function number(text) {
  const trimmed = String(text).trim();
  if (!trimmed) return undefined;
  const value = Number(trimmed);
  return Number.isNaN(value) ? trimmed : value;
}

/** Return "1 host", "2 hosts". */
export function counted(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/**
 * Return the lines of a piece of output: terminal escapes removed, what a carriage return overwrote dropped, tabs as
 * blanks. The last line break ends a line, it does not begin an empty one.
 */
export function linesOf(text) {
  const lines = text.replace(/\r\n/g, "\n").split("\n");
  if (lines.length > 1 && lines.at(-1) === "") lines.pop();
  return lines.map((line) => plain(lastOverwrite(line)));
}

/** Return text without terminal escapes and control characters. */
export function plain(text) {
  return text.replace(ESCAPES, "").replace(/\t/g, "    ");
}

function lastOverwrite(line) {
  const parts = line.replace(/\r+$/, "").split("\r");
  return parts.at(-1);
}
