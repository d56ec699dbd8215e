/** Deploys as rows of a table; views/deploy_rows.html shows them. */
import ko from "./ko.js";
import { updateKeyed } from "./keyed.js";

class DeployRow {
  constructor() {
    this.data = ko.observable({});
    const of = (read) => ko.pureComputed(() => read(this.data()));
    this.href = of((deploy) => `/deploys/${deploy.id}`);
    this.label = of((deploy) => `#${deploy.id}`);
    this.applicationHref = of((deploy) => `/applications/${encodeURIComponent(deploy.application)}`);
    this.length = { from: of((deploy) => deploy.started_at), to: of((deploy) => deploy.ended_at) };
    this.progress = of(({ progress }) => (progress ? `${progress.done}/${progress.total}` : ""));
    this.failed = of(({ progress }) => (progress?.failed ? `${progress.failed} failed` : ""));
    this.note = of((deploy) => deploy.reason || deploy.comment || "");
  }

  update(deploy) {
    this.data(deploy);
  }
}

/** Show deploys (API shape) in an observableArray of rows. */
export function showDeploys(rows, deploys) {
  updateKeyed(rows, deploys, (deploy) => deploy.id, () => new DeployRow());
}
