/** All hosts with their state and what is wrong with them. */
import { getAll } from "../api/client.js";
import { HostForm } from "../fleet/host_form.js";
import { counted } from "../lib/formats.js";
import { updateKeyed } from "../lib/keyed.js";
import ko from "../lib/ko.js";
import { DataRow } from "../widgets/data_row.js";
import { ListPage } from "../widgets/list_page.js";
import { start } from "../widgets/shell.js";

class HostRow extends DataRow {
  constructor() {
    super();
    const { of } = this;
    this.href = of((host) => `/hosts/${encodeURIComponent(host.name)}`);
    this.place = of(placeOf);
    this.tags = of((host) => (host.tags ?? []).join(", "));
    this.note = of(noteOf);
  }
}

function placeOf({ transport, user, address, port }) {
  if (transport === "local") return "the worker's own machine";
  return `${user}@${address}${port === 22 ? "" : `:${port}`}`;
}

function noteOf({ maintenance_reason: reason, problems = [] }) {
  if (reason) return reason;
  if (!problems?.length) return "";
  const [first, ...rest] = problems;
  return rest.length ? `${first.message} (and ${counted(rest.length, "more problem")})` : first.message;
}

class HostsPage extends ListPage {
  constructor(shell) {
    super(shell);
    this.hostForm = new HostForm(shell, (host) => location.assign(`/hosts/${encodeURIComponent(host.name)}`));
  }

  async load() {
    const hosts = await getAll(["hosts"]);
    updateKeyed(this.rows, hosts.items, (host) => host.name, () => new HostRow());
  }
}

start((shell) => new HostsPage(shell).begin());
