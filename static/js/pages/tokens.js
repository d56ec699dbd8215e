/** Tokens: what programs and people prove themselves with; made, and revoked. */
import { TokenForm } from "../access/token_form.js";
import { change, getAll } from "../api/client.js";
import { updateKeyed } from "../lib/keyed.js";
import ko from "../lib/ko.js";
import { DataRow } from "../widgets/data_row.js";
import { ListPage } from "../widgets/list_page.js";
import { start } from "../widgets/shell.js";

class TokenRow extends DataRow {
  constructor(page) {
    super();
    this.isUnused = ko.pureComputed(() => !this.data().last_used_at);
    this.isEndless = ko.pureComputed(() => !this.data().expires_at);
    this.revokeName = ko.pureComputed(() => `Revoke token ${this.data().id}, ${this.data().name}`);
    this.revoke = () => page.askRevoke(this.data());
  }
}

class TokensPage extends ListPage {
  constructor(shell) {
    super(shell, { hints: false });
    this.tokenForm = new TokenForm(() => this.live.refresh());
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

start((shell) => new TokensPage(shell).begin());
