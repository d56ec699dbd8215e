/** Times in which nobody deploys; administrators make and delete them. */
import { change, getAll } from "../api/client.js";
import { FreezeForm } from "../guards/freeze_form.js";
import { absolute } from "../lib/formats.js";
import { updateKeyed } from "../lib/keyed.js";
import ko from "../lib/ko.js";
import { DataRow } from "../widgets/data_row.js";
import { ListPage } from "../widgets/list_page.js";
import { start } from "../widgets/shell.js";

class FreezeRow extends DataRow {
  constructor(page) {
    super();
    const { of } = this;
    this.state = of((freeze) => (freeze.active ? "frozen" : "open"));
    this.when = of(whenText);
    this.what = of(({ applications }) => applications?.join(", ") ?? "all");
    this.where = of(({ environments }) => environments?.join(", ") ?? "all");
    this.deleteName = of((freeze) => `Delete the freeze ${freeze.name}`);
    this.remove = () => page.askDelete(this.data());
  }
}

function whenText({ weekly, starts_at: starts, ends_at: ends }) {
  if (weekly) return `every week from ${weekly.begins} to ${weekly.ends}, ${weekly.timezone}`;
  return starts ? `${absolute(Date.parse(starts))} to ${absolute(Date.parse(ends))}` : "";
}

class FreezesPage extends ListPage {
  constructor(shell) {
    super(shell);
    this.mayChange = ko.pureComputed(() => Boolean(shell.user()?.is_administrator));
    this.freezeForm = new FreezeForm(() => this.live.refresh());
  }

  async load() {
    const freezes = await getAll(["freezes"]);
    updateKeyed(this.rows, freezes.items, (freeze) => freeze.name, () => new FreezeRow(this));
  }

  askDelete(freeze) {
    this.shell.confirm.ask({
      title: `Delete the freeze ${freeze.name}?`,
      facts: [{ name: "When", value: whenText(freeze) }, { name: "Because", value: freeze.reason }],
      warning: freeze.active ? "It holds now: deploys that wait for its end begin." : "",
      action: "Delete",
      isDangerous: true,
      run: () => change("DELETE", ["freezes", freeze.name]),
      done: () => this.live.refresh(),
    });
  }
}

start((shell) => new FreezesPage(shell).begin());
