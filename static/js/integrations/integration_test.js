/** Trying an integration out: what works there, what does not, and which version answered. */
import { change } from "../api/client.js";
import { plain } from "../lib/formats.js";
import ko from "../lib/ko.js";
import { Form } from "../widgets/form.js";

export class IntegrationTest {
  constructor(done) {
    this.isOpen = ko.observable(false);
    this.integration = ko.observable({});
    this.checks = ko.observableArray();
    this.outcome = ko.observable("");
    this.title = ko.pureComputed(() => `Test ${this.integration().name}`);
    this.takesRepository = ko.pureComputed(() => (this.integration().roles ?? []).includes("source"));
    this.form = new Form({
      initial: { repository: "" },
      submit: ({ repository }) => {
        this.clear();
        const body = repository.trim() ? { repository: repository.trim() } : {};
        return change("POST", ["integrations", this.integration().name, "test"], body);
      },
      done: (proof) => {
        this.show(proof);
        return done();
      },
    });
    this.close = () => this.isOpen(false);
  }

  open(integration) {
    this.integration(integration);
    this.clear();
    this.form.reset();
    this.isOpen(true);
  }

  clear() {
    this.checks([]);
    this.outcome("");
  }

  show({ ok, version, checks }) {
    this.checks(checks.map((check) => ({
      name: plain(check.name), message: plain(check.message), state: check.ok ? "works" : "fails",
    })));
    const answered = version ? `Version ${plain(version)} answered.` : "";
    this.outcome(ok ? `It works. ${answered}` : `Something does not work. ${answered}`);
  }
}
