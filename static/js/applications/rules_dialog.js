/** The rules of a target: shown in the order in which they count, added, changed and removed; and what followed from them. */
import { change, etagOf, get } from "../api/client.js";
import { plain } from "../lib/formats.js";
import ko from "../lib/ko.js";
import { Form } from "../widgets/form.js";
import { KINDS_OF, partsOf, ruleOf, ruleText } from "./rules.js";
import { wholeOf } from "./target_form.js";

const NEWEST = 10;

export class RulesDialog {
  /** application: its name. done(): what then, after each change. */
  constructor(shell, application, done) {
    Object.assign(this, { shell, application, done });
    this.isOpen = ko.observable(false);
    this.environment = ko.observable("");
    this.rows = ko.observableArray();
    this.kinds = ko.observableArray();
    this.followed = ko.observableArray();
    this.source = ko.observable("");
    this.told = ko.observable("");
    this.changed = ko.observable(null); // The place of the rule that the form changes; null: it adds one.
    this.title = ko.pureComputed(() => `Deployed to ${this.environment()} by itself`);
    this.isEmpty = ko.pureComputed(() => !this.rows().length);
    this.isChanging = ko.pureComputed(() => this.changed() !== null);
    this.action = ko.pureComputed(() => (this.isChanging() ? "Change the rule" : "Add the rule"));
    this.form = new Form({
      initial: { kind: "branch", pattern: "", isGreen: false },
      submit: (values) => this.put(this.rulesWith(ruleOf(values))),
      done: () => this.begin("It is saved: it holds for what comes from now on."),
      fieldOf: (field) => (field.endsWith("require_green_build") ? "isGreen" : "pattern"),
    });
    this.isOfCommits = ko.pureComputed(() => this.form.values.kind() !== "version");
    this.close = () => this.isOpen(false);
    this.leave = () => this.begin("");
    this.changeOne = (row) => this.fill(row);
    this.remove = (row) => this.askRemove(row);
    this.raise = (row) => this.shell.attempt(() => this.put(raised(this.target.rules, row.place)));
  }

  path() {
    return ["applications", this.application, "targets", this.environment()];
  }

  show(environment) {
    return this.shell.attempt(async () => {
      this.environment(environment);
      const { source } = await get(["applications", this.application]);
      this.kinds(source.package ? KINDS_OF.package : KINDS_OF.repository);
      this.source(await heardOf(source));
      await this.load();
      this.begin("");
      this.isOpen(true);
    });
  }

  async load() {
    const [target, automations] = await Promise.all([get(this.path()), get([...this.path(), "automations"], { limit: NEWEST })]);
    this.target = target;
    this.rows(target.rules.map((rule, place) => {
      const text = ruleText(rule);
      return {
        rule, place, text, isFirst: place === 0,
        raiseName: `Move up: ${text}`, changeName: `Change: ${text}`, removeName: `Remove: ${text}`,
      };
    }));
    this.followed(automations.items.map(described));
  }

  /** Empty the form for a new rule. */
  begin(told) {
    this.changed(null);
    this.told(told);
    this.form.reset({ kind: this.kinds()[0].value, pattern: "", isGreen: false });
  }

  fill({ rule, place }) {
    this.told("");
    this.form.reset(partsOf(rule));
    this.changed(place);
  }

  rulesWith(rule) {
    const place = this.changed();
    return place === null ? [...this.target.rules, rule] : this.target.rules.with(place, rule);
  }

  /** A target is replaced as a whole; what it is besides its rules goes back as it came. */
  async put(rules) {
    await change("PUT", this.path(), { ...wholeOf(this.target), rules }, { ifMatch: etagOf(this.path()) });
    await this.load();
    await this.done();
  }

  askRemove({ text, place }) {
    this.shell.confirm.ask({
      title: "Remove this rule?",
      facts: [
        { name: "Application", value: this.application }, { name: "Environment", value: this.environment() },
        { name: "Rule", value: text },
      ],
      warning: "What it would have deployed waits for somebody to deploy it. What it wanted before still comes.",
      action: "Remove",
      isDangerous: true,
      run: () => this.put(this.target.rules.toSpliced(place, 1)),
      done: () => this.begin(""),
    });
  }
}

/** Return rules with one of them a place further up. */
function raised(rules, place) {
  return rules.toSpliced(place - 1, 2, rules[place], rules[place - 1]);
}

/** Return how Windlass hears of an application's news, or what is to be done so that it does. */
async function heardOf({ integration }) {
  if (!integration) return "Nobody tells Windlass of news yet: name an integration in the application's source, and open its hook.";
  const { hook } = await get(["integrations", integration]);
  if (!hook) return `Systems like ${integration} send no hooks, so Windlass does not hear of news: use an integration whose system does.`;
  if (!hook.is_open) return `Windlass does not hear of news yet: open the hook of ${integration}, under Integrations.`;
  return `Windlass hears of news by the hook of ${integration}.`;
}

function described({ release, state, deploy, reason, outcome }) {
  return {
    release, state, text: [reason, outcome].filter(Boolean).map(plain).join(". "),
    href: deploy ? `/deploys/${deploy}` : null, deploy: deploy ? `deploy #${deploy}` : "",
  };
}
