/** The foreign systems: what they are for, whether they are asked now, and whether they work. */
import { change, getAll } from "../api.js";
import { absolute } from "../formats.js";
import { IntegrationForm } from "../integration_form.js";
import { IntegrationTest } from "../integration_test.js";
import { updateKeyed } from "../keyed.js";
import ko from "../ko.js";
import { Live } from "../live.js";
import { start } from "../shell.js";

class IntegrationRow {
  constructor(page) {
    this.data = ko.observable({});
    const of = (read) => ko.pureComputed(() => read(this.data()));
    this.roles = of(({ roles }) => (roles ?? []).join(", "));
    this.state = of(({ circuit }) => (circuit?.state === "open" ? (circuit.until ? "left_alone" : "refused") : "asked"));
    this.credentials = of(({ credentials }) => (credentials === null ? "lost: enter them again" : (credentials ?? []).join(", ") || "none"));
    this.reason = of(reasonOf);
    this.testName = of(({ name }) => `Test ${name}`);
    this.editName = of(({ name }) => `Edit ${name}`);
    this.deleteName = of(({ name }) => `Delete ${name}`);
    this.test = () => page.integrationTest.open(this.data());
    this.edit = () => page.integrationForm.edit(this.data().name);
    this.remove = () => page.askDelete(this.data());
  }

  update(integration) {
    this.data(integration);
  }
}

function reasonOf({ circuit }) {
  if (circuit?.state !== "open") return "";
  const next = circuit.until
    ? `It is asked again at ${absolute(Date.parse(circuit.until))}.`
    : "It is not asked again until its credentials are changed or it is tested.";
  return [circuit.reason, next].filter(Boolean).join(" ");
}

class IntegrationsPage {
  constructor(shell) {
    this.shell = shell;
    this.rows = ko.observableArray();
    this.live = new Live({ load: () => this.load() });
    this.integrationForm = new IntegrationForm(shell, (made) => {
      shell.notice(`${made.name} is saved.`);
      return this.live.refresh();
    });
    this.integrationTest = new IntegrationTest(() => this.live.refresh());
    this.isLoading = ko.pureComputed(() => !this.live.isLoaded());
    this.isEmpty = ko.pureComputed(() => this.live.isLoaded() && !this.rows().length);
    this.hasRows = ko.pureComputed(() => this.rows().length > 0);
    shell.follow(this.live);
    this.live.start();
  }

  async load() {
    const { items } = await getAll(["integrations"]);
    updateKeyed(this.rows, items, ({ name }) => name, () => new IntegrationRow(this));
  }

  askDelete({ name, driver, url }) {
    this.shell.confirm.ask({
      title: `Delete the integration ${name}?`,
      facts: [{ name: "Driver", value: driver }, { name: "URL", value: url }],
      warning: "Its credentials are deleted with it.",
      action: "Delete",
      isDangerous: true,
      run: () => change("DELETE", ["integrations", name]),
      done: () => this.live.refresh(),
    });
  }
}

start((shell) => new IntegrationsPage(shell));
