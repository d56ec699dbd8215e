/**
 * The API under /api/v1, as the browser's session: JSON in and out, ETags, problem+json as ApiError.
 *
 * A 401 leads to the sign-in page and back. Answers to GET are kept with their ETag; the same object comes back while
 * the server says 304, so a caller can tell by identity that nothing has changed.
 */
import { learn } from "../lib/clock.js";

const BASE = "/api/v1";
const TIMEOUT_MS = 45_000; // A look at a host is answered within 25 s.
const WRONG_CSRF_TOKEN = "csrf-token-invalid";
const kept = new Map(); // address -> {etag, data}
let csrfToken = "";
let isLeaving = false;

/** An answer that is not the wished one. `status` is 0 when there was no answer at all; `errors` maps field to message. */
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `The server answered ${status}.`);
    this.status = status;
    this.code = problem.code ?? "";
    this.problem = problem;
    this.errors = new Map((problem.errors ?? []).map(({ field, message }) => [field, message]));
  }

  /** Whether asking again later may succeed by itself. */
  get mayPass() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** Return the address of an API path made of parts, each escaped, and a query; null values are left out of it. */
export function address(parts, query = {}) {
  const path = parts.map((part) => encodeURIComponent(part)).join("/");
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const search = new URLSearchParams(given).toString();
  return `${BASE}/${path}${search ? `?${search}` : ""}`;
}

/** Use this token for everything that changes something; the session tells it. */
export function useCsrfToken(token) {
  csrfToken = token ?? "";
}

/** Return a fresh key under which the server carries out a POST once, however often it arrives. */
export function idempotencyKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Go to the sign-in page, which leads back here; once, though several requests may be refused at the same time. */
export function goToSignIn() {
  if (isLeaving) return;
  isLeaving = true;
  const here = location.pathname + location.search;
  location.assign(`/sign-in?next=${encodeURIComponent(here)}`);
}

/** GET a path (parts as for `address`) and return its JSON; throws ApiError. */
export async function get(parts, query) {
  const url = address(parts, query);
  const known = kept.get(url);
  const response = await send(url, { headers: known ? { "If-None-Match": known.etag } : {} });
  if (response.status === 304) return known.data;
  const data = await bodyOf(response);
  const etag = response.headers.get("ETag");
  if (etag) kept.set(url, { etag, data });
  return data;
}

/** GET a list page by page, up to `most` items; returns the first page's JSON with the items of all of them. */
export async function getAll(parts, query = {}, most = 2000) {
  const first = await get(parts, { limit: 200, ...query });
  const items = [...first.items];
  for (let after = first.next; after && items.length < most;) {
    const page = await get(parts, { limit: 200, ...query, after });
    items.push(...page.items);
    after = page.next;
  }
  return { ...first, items };
}

/** Return the ETag under which a path was last read, for `ifMatch`. */
export function etagOf(parts) {
  return kept.get(address(parts))?.etag;
}

/**
 * Send a change and return the answer's JSON (null for none); throws ApiError. `key` is an Idempotency-Key for POST;
 * `ifMatch` an ETag that must still be right, else the answer is 412; `query` the address's parameters.
 */
export async function change(method, parts, body, conditions = {}) {
  try {
    return await changeOnce(method, parts, body, conditions);
  } catch (error) {
    if (error.code !== WRONG_CSRF_TOKEN) throw error;
    // Somebody signed in anew in another tab; nothing was done, so the same request may be sent with the new token.
    useCsrfToken((await get(["me"])).csrf_token);
    return changeOnce(method, parts, body, conditions);
  }
}

async function changeOnce(method, parts, body, { key, ifMatch, query }) {
  const headers = { "X-CSRF-Token": csrfToken };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  if (ifMatch) headers["If-Match"] = ifMatch;
  const response = await send(address(parts, query), {
    method, headers, body: body === undefined ? undefined : JSON.stringify(body),
  });
  return response.status === 204 ? null : bodyOf(response);
}

/** Fetch an address of the API; throws ApiError for everything but success and 304. */
export async function send(url, options = {}) {
  let response;
  try {
    response = await fetch(url, {
      credentials: "same-origin", cache: "no-store", redirect: "error", signal: AbortSignal.timeout(TIMEOUT_MS), ...options,
    });
  } catch (error) {
    throw unreachable(error);
  }
  learn(response.headers.get("Date"));
  if (response.ok || response.status === 304) return response;
  const error = new ApiError(response.status, await problemOf(response));
  const isSigningIn = url === `${BASE}/session` || location.pathname === "/sign-in";
  if (error.status === 401 && !isSigningIn) goToSignIn();
  throw error;
}

function unreachable(error) {
  const detail = error.name === "TimeoutError"
    ? "The server did not answer in time. Try again, or look at its log."
    : "The server cannot be reached. Check that Windlass is running and your network is up.";
  return new ApiError(0, { code: "unreachable", detail });
}

async function bodyOf(response) {
  try {
    return await response.json();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw unreachable(error);
    const detail = "The server's answer is not JSON. Is a proxy between you and Windlass?";
    throw new ApiError(response.status, { code: "bad-answer", detail });
  }
}

async function problemOf(response) {
  try {
    const problem = await response.json();
    return problem !== null && typeof problem === "object" ? problem : {};
  } catch {
    return { detail: `The server answered ${response.status} ${response.statusText}`.trimEnd() + "." };
  }
}
