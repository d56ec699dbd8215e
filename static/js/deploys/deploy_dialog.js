/** The dialog that chooses a release and deploys it; its button names release and environment. */
import { change, get } from "../api/client.js";
import { lockedText } from "../guards/lock_form.js";
import { plain, short } from "../lib/formats.js";
import ko from "../lib/ko.js";
import { Form } from "../widgets/form.js";
import { openDeploy } from "./rollout_actions.js";

export class DeployDialog {
  constructor() {
    this.isOpen = ko.observable(false);
    this.application = ko.observable("");
    this.environment = ko.observable("");
    this.running = ko.observable("");
    this.latched = ko.observableArray();
    this.locked = ko.observable("");
    this.releases = ko.observableArray();
    this.isLoading = ko.observable(false);
    this.loadError = ko.observable("");
    this.wantsFocus = ko.observable(false);
    this.form = new Form({
      initial: { release: "", comment: "" },
      submit: (values, key) => change("POST", ["deploys"], this.bodyOf(values), { key }),
      done: openDeploy,
    });
    const release = this.form.values.release;
    this.knownBad = ko.pureComputed(() => warningText(this.latched().find((one) => one.release === release())));
    this.title = ko.pureComputed(() => `Deploy ${this.application()} to ${this.environment()}`);
    this.action = ko.pureComputed(() => (release() ? `Deploy ${release()} to ${this.environment()}` : "Deploy"));
    this.cannotSend = ko.pureComputed(() => this.form.isBusy() || !release());
    this.hasNoRelease = ko.pureComputed(() => !this.isLoading() && !this.loadError() && !this.releases().length);
    this.applicationHref = ko.pureComputed(() => `/applications/${encodeURIComponent(this.application())}`);
    this.close = () => this.isOpen(false);
  }

  /** Open it for a target; `release` is the version to choose at first, by default the newest that is ready. */
  async open({ application, environment, running, release, lock }) {
    this.wantsFocus(false);
    this.application(application);
    this.environment(environment);
    this.running(running);
    this.releases([]);
    this.latched([]);
    this.locked(lockedText(lock));
    this.form.reset();
    this.loadError("");
    this.isLoading(true);
    this.isOpen(true);
    try {
      const [releases, target] = await Promise.all([
        get(["applications", application, "releases"], { limit: 50 }), get(["applications", application, "targets", environment]),
      ]);
      this.latched(target.latched ?? []);
      this.offer(releases.items, release);
    } catch (error) {
      if (error.status === undefined) throw error;
      this.loadError(error.message);
    } finally {
      this.isLoading(false);
    }
  }

  offer(releases, wanted) {
    const ready = releases.filter((release) => release.state === "ready");
    this.releases(ready.map((release) => ({ version: release.version, label: labelOf(release) })));
    const chosen = ready.find((release) => release.version === wanted) ?? ready[0];
    this.form.values.release(chosen?.version ?? "");
    this.wantsFocus(true);
  }

  bodyOf({ release, comment }) {
    const body = { application: this.application(), release, environment: this.environment() };
    return comment.trim() ? { ...body, comment: comment.trim() } : body;
  }
}

/** Return what is said of a release that failed in the target before, or that people went back from. */
function warningText(bad) {
  if (!bad) return "";
  return `${bad.release} did not go well here last time (deploy ${bad.deploy})${bad.reason ? `: ${plain(bad.reason)}` : ""}`;
}

function labelOf(release) {
  return [release.version, release.ref || release.package_version, short(release.commit)].filter(Boolean).join(" · ");
}
