/**
 * What all pages have around them: who is signed in, how fresh the data is, the dialog that asks before acting.
 *
 * A page's script calls start(make), where make(shell) returns the page's view model; the whole body is bound to it.
 */
import { ApiError, change, get, useCsrfToken } from "../api/client.js";
import "../lib/bindings.js";
import { now } from "../lib/clock.js";
import { ago } from "../lib/formats.js";
import ko from "../lib/ko.js";
import { Confirm } from "./confirm.js";

const RETRY_MS = 2000;
const CONNECTIONS = {
  loading: "loading…", live: "live", polling: "checking every few seconds", reconnecting: "reconnecting…",
  refused: "not available", resting: "paused while hidden", over: "complete", connecting: "connecting…",
};

class Shell {
  constructor() {
    this.user = ko.observable(null);
    this.userName = ko.pureComputed(() => this.user()?.name ?? "");
    this.confirm = new Confirm();
    this.live = ko.observable(null);
    this.notice = ko.observable("");
    this.problem = ko.observable("");
    this.connection = ko.pureComputed(() => this.live()?.state() ?? "loading");
    this.connectionText = ko.pureComputed(() => CONNECTIONS[this.connection()] ?? this.connection());
    this.isMissing = ko.pureComputed(() => this.live()?.error?.()?.status === 404); // The page says so itself.
    this.isStale = ko.pureComputed(() => ["reconnecting", "refused"].includes(this.connection()) && !this.isMissing());
    this.staleReason = ko.pureComputed(() => this.staleReasonNow());
    this.staleAge = ko.pureComputed(() => {
      const at = this.live()?.updatedAt?.();
      return this.isStale() && at ? `What you see is from ${ago(at, now())}.` : "";
    });
    this.signOut = () => this.endSession();
    this.dismissProblem = () => this.problem("");
  }

  /** Let `live` (Live, or anything with state, error and updatedAt) decide what is said about the connection. */
  follow(live) {
    this.live(live);
  }

  staleReasonNow() {
    if (!this.isStale()) return "";
    const reason = this.live().error?.()?.message ?? "The live connection was lost.";
    return this.connection() === "reconnecting" ? `${reason} Reconnecting…` : reason;
  }

  /** Do something and say at the top of the page when the API refuses; returns whether it went well. */
  async attempt(work) {
    this.problem("");
    try {
      await work();
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.problem(error.message);
      return false;
    }
  }

  async endSession() {
    if (await this.attempt(() => change("DELETE", ["session"]))) location.assign("/sign-in");
  }
}

/** Learn who is signed in; waits for a server that does not answer. */
async function signedIn(shell) {
  for (;;) {
    try {
      const user = await get(["me"]);
      useCsrfToken(user.csrf_token);
      shell.problem("");
      return user;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) return null; // The browser is on its way to the sign-in page.
      shell.problem(`${error.message} Trying again…`);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

/** What the page's address names, for instance {deploy: "12"}. */
export function subject() {
  return { ...document.body.dataset };
}

/** Bind the page. */
export async function start(make) {
  const shell = new Shell();
  const page = ko.observable(null);
  ko.applyBindings({ shell, page }, document.body);
  document.getElementById("main").hidden = false;
  const user = await signedIn(shell);
  if (!user) return;
  shell.user(user);
  page(make(shell));
}
