/** Tokens: what programs and people prove themselves with; made, and revoked. */
import { change, getAll } from "../api.js";
import { updateKeyed } from "../keyed.js";
import ko from "../ko.js";
import { Live } from "../live.js";
import { start } from "../shell.js";
import { TokenForm } from "../token_form.js";

class TokenRow {
  constructor(page) {
    this.data = ko.observable({});
    this.isUnused = ko.pureComputed(() => !this.data().last_used_at);
    this.isEndless = ko.pureComputed(() => !this.data().expires_at);
    this.revokeName = ko.pureComputed(() => `Revoke token ${this.data().id}, ${this.data().name}`);
    this.revoke = () => page.askRevoke(this.data());
  }

  update(token) {
    this.data(token);
  }
}

class TokensPage {
  constructor(shell) {
    this.shell = shell;
    this.rows = ko.observableArray();
    this.live = new Live({ load: () => this.load(), hints: false });
    this.tokenForm = new TokenForm(() => this.live.refresh());
    this.isLoading = ko.pureComputed(() => !this.live.isLoaded());
    this.isEmpty = ko.pureComputed(() => this.live.isLoaded() && !this.rows().length);
    this.hasRows = ko.pureComputed(() => this.rows().length > 0);
    shell.follow(this.live);
    this.live.start();
  }

  async load() {
    const { items } = await getAll(["tokens"]);
    updateKeyed(this.rows, items, ({ id }) => id, () => new TokenRow(this));
  }

  askRevoke({ id, name, user }) {
    this.shell.confirm.ask({
      title: `Revoke the token ${name}?`,
      facts: [{ name: "Whose", value: user }],
      warning: "From its next request on, whatever uses it is refused. If you signed in with it, you are signed out.",
      action: "Revoke",
      isDangerous: true,
      run: () => change("DELETE", ["tokens", id]),
      done: () => this.live.refresh(),
    });
  }
}

start((shell) => new TokensPage(shell));
