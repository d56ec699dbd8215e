/** The foreign systems: what they are for, whether they are asked now, and whether they work. */
import { change, getAll } from "../api/client.js";
import { reasonOf, stateOf } from "../integrations/circuit.js";
import { HookDialog } from "../integrations/hook_dialog.js";
import { IntegrationForm } from "../integrations/integration_form.js";
import { IntegrationTest } from "../integrations/integration_test.js";
import { WebhookList } from "../integrations/webhook_list.js";
import { updateKeyed } from "../lib/keyed.js";
import ko from "../lib/ko.js";
import { DataRow } from "../widgets/data_row.js";
import { ListPage } from "../widgets/list_page.js";
import { start } from "../widgets/shell.js";

const WEBHOOK = "webhook"; // The driver whose integrations are shown as webhooks.

class IntegrationRow extends DataRow {
  constructor(page) {
    super();
    const { of } = this;
    this.roles = of(({ roles }) => (roles ?? []).join(", "));
    this.state = of(({ circuit }) => stateOf(circuit));
    this.credentials = of(({ credentials }) => (credentials === null ? "lost: enter them again" : (credentials ?? []).join(", ") || "none"));
    this.reason = of(({ circuit }) => reasonOf(circuit));
    this.hasHook = of(({ hook }) => Boolean(hook));
    this.hookName = of(({ name }) => `Hook of ${name}`);
    this.showHook = () => page.hookDialog.show(this.data().name);
    this.testName = of(({ name }) => `Test ${name}`);
    this.editName = of(({ name }) => `Edit ${name}`);
    this.deleteName = of(({ name }) => `Delete ${name}`);
    this.test = () => page.integrationTest.open(this.data());
    this.edit = () => page.integrationForm.edit(this.data().name);
    this.remove = () => page.askDelete(this.data());
  }
}

class IntegrationsPage extends ListPage {
  constructor(shell) {
    super(shell);
    this.integrationForm = new IntegrationForm(shell, (made) => {
      shell.notice(`${made.name} is saved.`);
      return this.live.refresh();
    });
    this.integrationTest = new IntegrationTest(() => this.live.refresh());
    this.hookDialog = new HookDialog(shell, () => this.live.refresh());
    this.webhooks = new WebhookList(shell, this.integrationTest, () => this.live.refresh());
    this.isLoaded = this.live.isLoaded;
  }

  async load() {
    const [{ items }] = await Promise.all([getAll(["integrations"]), this.webhooks.load()]);
    updateKeyed(this.rows, items.filter(({ driver }) => driver !== WEBHOOK), ({ name }) => name, () => new IntegrationRow(this));
  }

  askDelete({ name, driver, url }) {
    this.shell.confirm.ask({
      title: `Delete the integration ${name}?`,
      facts: [{ name: "Driver", value: driver }, { name: "URL", value: url }],
      warning: "Its credentials are deleted with it, and the secret of its hook: nothing that is sent there is taken any more.",
      action: "Delete",
      isDangerous: true,
      run: () => change("DELETE", ["integrations", name]),
      done: () => this.live.refresh(),
    });
  }
}

start((shell) => new IntegrationsPage(shell).begin());
