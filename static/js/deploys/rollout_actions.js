/** What can be started, stopped and undone, each after a dialog that names application, release and environment. */
import { change, get } from "../api/client.js";
import { ENDED_DEPLOY } from "../lib/states.js";

const DIGEST_SHOWN = 16;

/** Go to a deploy's page. */
export function openDeploy(deploy) {
  location.assign(`/deploys/${deploy.id}`);
}

/** Say whether a deploy (or none) is still going on. */
export function isUnderWay(deploy) {
  return Boolean(deploy) && !ENDED_DEPLOY.has(deploy.state);
}

/** Ask, then roll back a deploy (API shape, with the release before it): a new deploy of that release. */
export async function askRollback(shell, deploy) {
  const { application, environment, release, previous_release: previous } = deploy;
  await shell.attempt(async () => {
    const [newest] = (await get(["deploys"], { application, environment, limit: 1 })).items;
    const isNewest = !newest || newest.id === deploy.id;
    shell.confirm.ask({
      title: `Roll ${application} back in ${environment}?`,
      facts: [
        { name: "Application", value: application },
        { name: "Environment", value: environment },
        { name: "From", value: release },
        { name: "Back to", value: previous },
      ],
      warning: isNewest ? "" : `There is a newer deploy, #${newest.id} of ${newest.release}: this goes back behind it.`,
      action: `Roll back to ${previous}`,
      isDangerous: true,
      run: (key) => change("POST", ["deploys", deploy.id, "rollback"], undefined, { key }),
      done: openDeploy,
    });
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
    if (deploy?.previous_release) await askRollback(shell, deploy);
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

/** Ask, then end the build of a release (API shape). */
export function askCancelBuild(shell, { application, version, build }, done) {
  shell.confirm.ask({
    title: `Cancel the build of ${version}?`,
    facts: [{ name: "Application", value: application }, { name: "Built by", value: build?.integration }],
    warning: "The release fails. To try again, make another one.",
    action: "Cancel this build",
    isDangerous: true,
    run: (key) => change("POST", ["applications", application, "releases", version, "cancel"], undefined, { key }),
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

/** Ask, then pause a running deploy. */
export function askPause(shell, deploy, done) {
  shell.confirm.ask({
    title: `Pause deploy ${deploy.id}?`,
    facts: factsOf(deploy),
    warning: "Hosts that are under way go on to their end; no other begins until the deploy is resumed.",
    action: "Pause",
    run: (key) => change("POST", ["deploys", deploy.id, "pause"], undefined, { key }),
    done,
  });
}

/** Ask, then let a paused deploy go on. */
export function askResume(shell, deploy, done) {
  shell.confirm.ask({
    title: `Resume deploy ${deploy.id}?`,
    facts: factsOf(deploy),
    warning: "The next wave of hosts begins at once.",
    action: "Resume",
    run: (key) => change("POST", ["deploys", deploy.id, "resume"], undefined, { key }),
    done,
  });
}

/** Say how far a plan is: nobody can agree to one that does not say everything yet. */
function toldPlan({ digest, errors }) {
  if (digest) return `digest ${digest.slice(0, DIGEST_SHOWN)}`;
  return errors?.length ? `could not look at ${errors.map(({ host }) => host).join(", ")}` : "still looks at the hosts";
}

/** Ask, then agree to a deploy that somebody else asked for: to exactly what its plan says. */
export async function askApprove(shell, deploy, done) {
  const { needed, given } = deploy.approvals;
  await shell.attempt(async () => {
    const plan = deploy.plan ? await get(["plans", deploy.plan]) : null;
    shell.confirm.ask({
      title: `Approve deploy ${deploy.id}?`,
      facts: [
        ...factsOf(deploy),
        { name: "Asked for by", value: deploy.requested_by },
        { name: "Instead of", value: deploy.previous_release },
        { name: "Plan", value: plan ? `#${plan.id}, ${toldPlan(plan)}` : "" },
        { name: "Approvals", value: `${given.length} of ${needed}` },
      ],
      warning: given.length + 1 >= needed ? "It goes into the queue with your approval." : "It waits for others to approve it, too.",
      action: "Approve",
      run: (key) => change("POST", ["deploys", deploy.id, "approve"], plan?.digest ? { digest: plan.digest } : undefined, { key }),
      done,
    });
  });
}

/** Ask, then try a host of a paused deploy again, or leave it out. */
export function askHost(shell, deploy, host, what, done) {
  const isRetry = what === "retry";
  shell.confirm.ask({
    title: isRetry ? `Try ${host} again?` : `Leave ${host} out?`,
    facts: [...factsOf(deploy), { name: "Host", value: host }],
    warning: isRetry
      ? "It is tried again once the deploy is resumed."
      : "It keeps what it runs now, and does not count as failed.",
    action: isRetry ? "Try again" : "Leave out",
    run: (key) => change("POST", ["deploys", deploy.id, "hosts", host, what], undefined, { key }),
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
