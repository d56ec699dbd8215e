/** The questions before something is deleted for good: each says what is lost with it, and what is not. */
import { change } from "../api/client.js";

/** Ask, then delete an application (API shape), and leave its page. targets: the environments of those it has. */
export function askDeleteApplication(shell, { name }, targets) {
  shell.confirm.ask({
    title: `Delete the application ${name}?`,
    facts: [{ name: "Application", value: name }, { name: "Targets", value: targets.join(", ") }],
    warning: targets.length
      ? "It still has targets: delete them first."
      : `All releases of ${name} and the whole history of its deploys are lost, for good. The audit trail stays.`,
    action: "Delete it with its history",
    isDangerous: true,
    run: () => change("DELETE", ["applications", name]),
    done: () => location.assign("/"),
  });
}

/** Ask, then delete a target (API shape). running: what was seen running there. */
export function askDeleteTarget(shell, { application, environment, resolved_hosts: hosts }, running, done) {
  shell.confirm.ask({
    title: `Delete the target ${environment} of ${application}?`,
    facts: [
      { name: "Application", value: application }, { name: "Environment", value: environment },
      { name: "Hosts", value: hosts?.join(", ") }, { name: "Runs there", value: running },
    ],
    warning: "Its settings, variables, secret ones too, and rules are lost. What runs on its hosts goes on running, and nobody looks after it any more. "
      + "Releases and the history of deploys stay.",
    action: "Delete the target",
    isDangerous: true,
    run: () => change("DELETE", ["applications", application, "targets", environment]),
    done,
  });
}

/** Ask, then delete a host, and leave its page. place: how it is reached; placed: what runs there, as texts. */
export function askDeleteHost(shell, name, place, placed) {
  shell.confirm.ask({
    title: `Delete the host ${name}?`,
    facts: [{ name: "Host", value: `${name} (${place})` }, { name: "Runs there", value: placed.join(", ") }],
    warning: "Windlass forgets its address, its trusted key and what was observed there. What runs there goes on running; "
      + "the history of deploys keeps its name.",
    action: "Delete the host",
    isDangerous: true,
    run: () => change("DELETE", ["hosts", name]),
    done: () => location.assign("/hosts"),
  });
}
