/** The hook of an integration: where its system sends messages, with which secret, whether they are taken, and what came. */
import { change, get } from "../api/client.js";
import { plain } from "../lib/formats.js";
import ko from "../lib/ko.js";
import { SecretOnce } from "../widgets/secret_once.js";

const NEWEST = 10;

export class HookDialog {
  /** done(): what then, after each change. */
  constructor(shell, done) {
    Object.assign(this, { shell, done });
    this.isOpen = ko.observable(false);
    this.name = ko.observable("");
    this.hook = ko.observable({});
    this.received = ko.observableArray();
    this.secret = new SecretOnce(this.isOpen);
    this.title = ko.pureComputed(() => `Hook of ${this.name()}`);
    this.isTaking = ko.pureComputed(() => Boolean(this.hook()?.is_open));
    this.state = ko.pureComputed(() => (this.isTaking() ? "open" : "closed"));
    this.mayChange = ko.pureComputed(() => Boolean(shell.user()?.is_administrator));
    this.mayClose = ko.pureComputed(() => this.mayChange() && this.isTaking());
    this.action = ko.pureComputed(() => (this.isTaking() ? "Make a new secret" : "Open it"));
    this.isEmpty = ko.pureComputed(() => !this.received().length);
    this.close = () => this.isOpen(false);
    this.make = () => (this.isTaking() ? this.askAnother() : shell.attempt(() => this.makeSecret()));
    this.shut = () => this.askShut();
  }

  path(...rest) {
    return ["integrations", this.name(), ...rest];
  }

  show(name) {
    return this.shell.attempt(async () => {
      this.name(name);
      await this.load();
      this.isOpen(true);
    });
  }

  async load() {
    const [integration, hooks] = await Promise.all([get(this.path()), get(this.path("hooks"), { limit: NEWEST })]);
    this.hook(integration.hook);
    this.received(hooks.items.map(({ event, state, outcome, received_at: at }) => ({
      event: plain(event), state, at, outcome: plain(outcome ?? ""),
    })));
  }

  async makeSecret(key) {
    const { secret } = await change("POST", this.path("hook"), {}, { key });
    this.secret.show(secret);
    await this.load();
    await this.done();
  }

  askAnother() {
    this.shell.confirm.ask({
      title: `Make a new secret for the hook of ${this.name()}?`,
      facts: [{ name: "Integration", value: this.name() }],
      warning: "What is signed with the old one is refused from now on, until the new one is entered there.",
      action: "Make a new secret",
      run: (key) => this.makeSecret(key),
    });
  }

  askShut() {
    this.shell.confirm.ask({
      title: `Close the hook of ${this.name()}?`,
      facts: [{ name: "Integration", value: this.name() }],
      warning: "Its secret is deleted: nothing that is sent there is taken, and no rule hears of news.",
      action: "Close it",
      isDangerous: true,
      run: () => change("DELETE", this.path("hook")),
      done: async () => {
        this.secret.forget();
        await this.load();
        await this.done();
      },
    });
  }
}
