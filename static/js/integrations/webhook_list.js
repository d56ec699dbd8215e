/** The webhooks: who is told what, and what can be done about each. */
import { change, getAll } from "../api/client.js";
import { updateKeyed } from "../lib/keyed.js";
import ko from "../lib/ko.js";
import { DataRow } from "../widgets/data_row.js";
import { reasonOf, stateOf } from "./circuit.js";
import { CHOICES, WebhookForm } from "./webhook_form.js";

class WebhookRow extends DataRow {
  constructor(list, test) {
    super();
    const { of } = this;
    this.state = of((webhook) => (webhook.enabled ? stateOf(webhook.circuit, "told") : "switched_off"));
    this.reason = of((webhook) => (webhook.enabled ? reasonOf(webhook.circuit) : ""));
    for (const name of CHOICES) this[name] = of((webhook) => webhook[name]?.join(", ") ?? "all");
    this.toggleText = of(({ enabled }) => (enabled ? "switch off" : "switch on"));
    for (const [what, words] of Object.entries({ test: "Test", edit: "Edit", renew: "Make a new secret for", remove: "Delete" })) {
      this[`${what}Name`] = of(({ name }) => `${words} the webhook ${name}`);
    }
    this.toggleName = of(({ name, enabled }) => `Switch ${enabled ? "off" : "on"} the webhook ${name}`);
    this.test = () => test.open({ ...this.data(), roles: ["notify"] });
    this.edit = () => list.form.edit(this.data().name);
    this.renew = () => list.form.askNewSecret(this.data());
    this.toggle = () => list.askToggle(this.data());
    this.remove = () => list.askDelete(this.data());
  }
}

export class WebhookList {
  /** test: the IntegrationTest. done(): what then, after each change. */
  constructor(shell, test, done) {
    Object.assign(this, { shell, test, done });
    this.rows = ko.observableArray();
    this.form = new WebhookForm(shell, done);
    this.hasRows = ko.pureComputed(() => this.rows().length > 0);
  }

  async load() {
    const { items } = await getAll(["webhooks"]);
    updateKeyed(this.rows, items, ({ name }) => name, () => new WebhookRow(this, this.test));
  }

  askToggle({ name, url, enabled }) {
    this.shell.confirm.ask({
      title: enabled ? `Switch the webhook ${name} off?` : `Switch the webhook ${name} on?`,
      facts: [{ name: "URL", value: url }],
      warning: enabled ? "It is told nothing until it is switched on again, and not later either." : "",
      action: enabled ? "Switch off" : "Switch on",
      run: () => change("PATCH", ["webhooks", name], { enabled: !enabled }),
      done: this.done,
    });
  }

  askDelete({ name, url }) {
    this.shell.confirm.ask({
      title: `Delete the webhook ${name}?`,
      facts: [{ name: "URL", value: url }],
      warning: "Its secret is deleted with it, and what still waits to be sent there is given up.",
      action: "Delete",
      isDangerous: true,
      run: () => change("DELETE", ["webhooks", name]),
      done: this.done,
    });
  }
}
