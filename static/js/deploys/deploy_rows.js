/** Deploys as rows of a table; deploy_rows.html shows them. */
import { updateKeyed } from "../lib/keyed.js";
import { DataRow } from "../widgets/data_row.js";

class DeployRow extends DataRow {
  constructor() {
    super();
    this.href = this.of((deploy) => `/deploys/${deploy.id}`);
    this.label = this.of((deploy) => `#${deploy.id}`);
    this.applicationHref = this.of((deploy) => `/applications/${encodeURIComponent(deploy.application)}`);
    this.length = { from: this.of((deploy) => deploy.started_at), to: this.of((deploy) => deploy.ended_at) };
    this.progress = this.of(({ progress }) => (progress ? `${progress.done}/${progress.total}` : ""));
    this.failed = this.of(({ progress }) => (progress?.failed ? `${progress.failed} failed` : ""));
    this.note = this.of((deploy) => deploy.reason || deploy.comment || "");
  }
}

/** Show deploys (API shape) in an observableArray of rows. */
export function showDeploys(rows, deploys) {
  updateKeyed(rows, deploys, (deploy) => deploy.id, () => new DeployRow());
}
