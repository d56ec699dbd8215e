/** The application × environment matrix, kept as fresh as the server tells. */
import { getAll } from "../api/client.js";
import { Live } from "../api/live.js";
import { ApplicationForm } from "../applications/application_form.js";
import { EnvironmentsDialog } from "../applications/environments_dialog.js";
import { TargetCell } from "../applications/target_cell.js";
import { DeployDialog } from "../deploys/deploy_dialog.js";
import { setIfDifferent, updateKeyed } from "../lib/keyed.js";
import ko from "../lib/ko.js";
import { start } from "../widgets/shell.js";

/** One application: a cell for every environment, empty where there is no target. */
class Row {
  constructor(page) {
    this.page = page;
    this.name = ko.observable("");
    this.href = ko.pureComputed(() => `/applications/${encodeURIComponent(this.name())}`);
    this.cells = ko.observableArray();
  }

  update({ name, cells }) {
    this.name(name);
    updateKeyed(this.cells, cells, (cell) => cell.environment, () => new Cell(this.page));
  }
}

class Cell {
  constructor(page) {
    this.environment = ko.observable("");
    this.target = ko.observable(null);
    this.page = page;
  }

  update({ environment, item }) {
    this.environment(environment);
    if (!item) {
      this.target(null);
      return;
    }
    if (!this.target.peek()) this.target(new TargetCell(this.page.shell, this.page.deployDialog));
    this.target.peek().update(item);
  }
}

class Overview {
  constructor(shell) {
    this.shell = shell;
    this.environments = ko.observableArray();
    this.rows = ko.observableArray();
    this.deployDialog = new DeployDialog();
    this.environmentsDialog = new EnvironmentsDialog(shell, () => this.live.refresh());
    this.applicationForm = new ApplicationForm((application) =>
      location.assign(`/applications/${encodeURIComponent(application.name)}`));
    this.live = new Live({ load: () => this.load() }).start();
    this.isEmpty = ko.pureComputed(() => this.live.isLoaded() && !this.rows().length);
    this.hasRows = ko.pureComputed(() => this.rows().length > 0);
    this.isLoading = ko.pureComputed(() => !this.live.isLoaded());
    shell.follow(this.live);
  }

  async load() {
    const [status, applications] = await Promise.all([getAll(["status"]), getAll(["applications"])]);
    const environments = status.environments.map(({ name }) => name);
    setIfDifferent(this.environments, environments);
    const byTarget = new Map(status.items.map((item) => [`${item.application} ${item.environment}`, item]));
    const rows = applications.items.map(({ name }) => ({
      name, cells: environments.map((environment) => ({ environment, item: byTarget.get(`${name} ${environment}`) })),
    }));
    updateKeyed(this.rows, rows, (row) => row.name, () => new Row(this));
  }
}

start((shell) => new Overview(shell));
