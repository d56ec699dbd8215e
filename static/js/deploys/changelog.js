/** The changelog of a deploy and its deliveries to other systems; loaded when somebody wants to see them. */
import { change, get } from "../api/client.js";
import { plain } from "../lib/formats.js";
import ko from "../lib/ko.js";

const SHORT = 10; // characters of a commit's name

export class Changelog {
  constructor(shell, deploy) {
    this.shell = shell;
    this.deploy = deploy;
    this.isShown = ko.observable(false);
    this.action = ko.pureComputed(() => (this.isShown() ? "Hide commits and messages" : "Show commits and messages"));
    this.summary = ko.observable("");
    this.commits = ko.observableArray();
    this.issues = ko.observableArray();
    this.requests = ko.observableArray();
    this.notes = ko.observableArray();
    this.deliveries = ko.observableArray();
    this.toggle = () => (this.isShown() ? this.isShown(false) : this.show());
    this.resend = (delivery) => this.sendAgain(delivery);
  }

  show() {
    return this.shell.attempt(async () => {
      const [changelog, told] = await Promise.all([
        get(["deploys", this.deploy, "changelog"]), get(["deploys", this.deploy, "deliveries"], { limit: 200 }),
      ]);
      this.summary(summary(changelog));
      this.commits((changelog.commits ?? []).map(({ commit, author, subject }) => ({
        name: commit.slice(0, SHORT), author: plain(author), subject: plain(subject),
      })));
      this.issues(changelog.issues.map(({ key, title, state, url }) => ({ text: words(key, title, state), url: safe(url) })));
      this.requests(changelog.pull_requests.map(({ number, title, url }) => ({ text: words(`#${number}`, title), url: safe(url) })));
      this.notes(changelog.notes.map(plain));
      this.deliveries(told.items.map(described));
      this.isShown(true);
    });
  }

  sendAgain({ id, text }) {
    this.shell.confirm.ask({
      title: `Send delivery ${id} again?`,
      facts: [{ name: "What", value: text }],
      action: "Send again",
      run: (key) => change("POST", ["deliveries", id, "resend"], undefined, { key }),
      done: () => this.show(),
    });
  }
}

/** Return one line about what a deploy brings. */
function summary({ state, from, commits, is_going_back: isGoingBack, authors }) {
  if (state === "pending") return "What it brings is being found out.";
  if (!commits) return from ? `The commits since ${from} are not known.` : "Nothing of it ran here before.";
  if (!commits.length) return `The same commit as ${from}.`;
  const count = commits.length === 1 ? "1 commit" : `${commits.length} commits`;
  return `${isGoingBack ? "Takes away" : "Brings"} ${count} by ${authors.map(plain).join(", ")}.`;
}

function words(...parts) {
  return parts.filter(Boolean).map(plain).join(" · ");
}

/** Return an address that a page may lead to, or nothing: what other systems say is not trusted. */
function safe(url) {
  return /^https?:\/\//.test(url ?? "") ? url : null;
}

function described({ id, integration, action, subject, state, attempts, error }) {
  return {
    id, state,
    text: words(integration ?? "Windlass", action.replaceAll("-", " "), subject && subject.slice(0, 60)),
    error: error ? plain(`${error}${attempts > 1 ? ` (${attempts} attempts)` : ""}`) : "",
    canBeSent: state === "failed" || state === "waiting",
    name: `Send delivery ${id} again`,
  };
}
