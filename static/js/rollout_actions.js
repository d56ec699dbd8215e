/** What can be started, stopped and undone, each after a dialog that names application, release and environment. */
import { change, get } from "./api.js";
import { ENDED_DEPLOY } from "./states.js";

/** Go to a deploy's page. */
export function openDeploy(deploy) {
  location.assign(`/deploys/${deploy.id}`);
}

/** Say whether a deploy (or none) is still going on. */
export function isUnderWay(deploy) {
  return Boolean(deploy) && !ENDED_DEPLOY.has(deploy.state);
}

/** Ask, then roll an environment back from a deploy (API shape) to the release before it. */
export function askRollback(shell, deploy, previousRelease) {
  shell.confirm.ask({
    title: `Roll ${deploy.application} back in ${deploy.environment}?`,
    facts: [
      { name: "Application", value: deploy.application },
      { name: "Environment", value: deploy.environment },
      { name: "From", value: deploy.release },
      { name: "Back to", value: previousRelease },
    ],
    action: `Roll back to ${previousRelease}`,
    isDangerous: true,
    run: (key) => change("POST", ["deploys", deploy.id, "rollback"], undefined, { key }),
    done: openDeploy,
  });
}

/**
 * Ask, then roll a target back, `newest` being the deploy that /status tells. What is undone is the newest deploy that
 * left something behind; one that was rolled back as a whole did not. The API tells where that leads to.
 */
export async function askTargetRollback(shell, { application, environment }, newest) {
  await shell.attempt(async () => {
    const deploy = newest.state === "rolled_back"
      ? (await get(["deploys"], { application, environment, state: "succeeded", limit: 1 })).items[0]
      : await get(["deploys", newest.id]);
    if (deploy?.previous_release) askRollback(shell, deploy, deploy.previous_release);
    else shell.problem(`Nothing of ${application} ran in ${environment} before, so there is nothing to roll back to.`);
  });
}

/** Ask, then cancel a deploy. */
export function askCancel(shell, deploy, done) {
  shell.confirm.ask({
    title: `Cancel deploy ${deploy.id}?`,
    facts: factsOf(deploy),
    warning: "Hosts that are under way go back to what they ran before; hosts that have already switched stay.",
    action: "Cancel this deploy",
    isDangerous: true,
    run: (key) => change("POST", ["deploys", deploy.id, "cancel"], undefined, { key }),
    done,
  });
}

/** Ask, then try the failed hosts of a deploy again. */
export function askRetry(shell, deploy, done) {
  shell.confirm.ask({
    title: `Retry deploy ${deploy.id}?`,
    facts: factsOf(deploy),
    warning: "Hosts that failed or were left out are tried again; hosts that succeeded are not touched.",
    action: "Retry",
    run: (key) => change("POST", ["deploys", deploy.id, "retry"], undefined, { key }),
    done,
  });
}

function factsOf(deploy) {
  return [
    { name: "Application", value: deploy.application },
    { name: "Release", value: deploy.release },
    { name: "Environment", value: deploy.environment },
  ];
}
