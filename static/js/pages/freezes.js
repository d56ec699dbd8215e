/** Times in which nobody deploys; administrators make and delete them. */
import { change, getAll } from "../api.js";
import { FreezeForm } from "../freeze_form.js";
import { absolute } from "../formats.js";
import { updateKeyed } from "../keyed.js";
import ko from "../ko.js";
import { Live } from "../live.js";
import { start } from "../shell.js";

class FreezeRow {
  constructor(page) {
    this.data = ko.observable({});
    const of = (read) => ko.pureComputed(() => read(this.data()));
    this.state = of((freeze) => (freeze.active ? "frozen" : "open"));
    this.when = of(whenText);
    this.what = of(({ applications }) => applications?.join(", ") ?? "all");
    this.where = of(({ environments }) => environments?.join(", ") ?? "all");
    this.deleteName = of((freeze) => `Delete the freeze ${freeze.name}`);
    this.remove = () => page.askDelete(this.data());
  }

  update(freeze) {
    this.data(freeze);
  }
}

function whenText({ weekly, starts_at: starts, ends_at: ends }) {
  if (weekly) return `every week from ${weekly.begins} to ${weekly.ends}, ${weekly.timezone}`;
  return starts ? `${absolute(Date.parse(starts))} to ${absolute(Date.parse(ends))}` : "";
}

class FreezesPage {
  constructor(shell) {
    this.shell = shell;
    this.rows = ko.observableArray();
    this.mayChange = ko.pureComputed(() => Boolean(shell.user()?.is_administrator));
    this.live = new Live({ load: () => this.load() });
    this.freezeForm = new FreezeForm(() => this.live.refresh());
    this.isLoading = ko.pureComputed(() => !this.live.isLoaded());
    this.isEmpty = ko.pureComputed(() => this.live.isLoaded() && !this.rows().length);
    this.hasRows = ko.pureComputed(() => this.rows().length > 0);
    shell.follow(this.live);
    this.live.start();
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

start((shell) => new FreezesPage(shell));
