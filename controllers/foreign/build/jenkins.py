"""Driver of Jenkins, by its remote access API (www.jenkins.io/doc/book/using/remote-access-api and jenkinsci/jenkins's sources).

A build is known by the parameter WINDLASS_KEY: Jenkins drops parameters that a job does not define without a word, so this is
looked at before anything starts. Left queue items are forgotten after five minutes; then the build is found by its key.
"""

import re
import tempfile
from urllib.parse import quote, unquote

from controllers.foreign import Proof, attempt, errors
from controllers.foreign.build.base import ABORTED, FAILURE, QUEUED, RUNNING, SUCCESS, BuildDriver, BuiltFile, Look
from controllers.foreign.credentials import BASIC, USER_TOKEN, one_of
from controllers.foreign.errors import ForeignError, Unclear
from controllers.foreign.hooks import BuildFinished, Hook, delivery_of, is_basic, parsed
from controllers.foreign.http import Http

KEY = "WINDLASS_KEY"
QUEUE_ITEM = re.compile(r"/queue/item/(\d+)/?")
COUNTDOWN = re.compile(r"\.?\s*Expires in .*")  # Of a quiet period: it would be another reason at each look.
RESULTS = {"SUCCESS": SUCCESS, "ABORTED": ABORTED}  # UNSTABLE, FAILURE and NOT_BUILT are failures.
PARAMETERS = "actions[parameters[name,value]]"
NEWEST_BUILDS = 100
LARGEST_LOG = 4 * 1024**3
MOST_READ = 16 * 1024**2  # Of the log at one look: far more than is kept of it.
LARGEST_FILE = 4 * 1024**3
LONGEST_LINE = 64 * 1024
ENDED_PHASES = frozenset({"COMPLETED", "FINALIZED"})


class Jenkins(BuildDriver):
    """Jenkins. Jobs in folders are named folder/job; a job needs a string parameter WINDLASS_KEY."""

    name = "jenkins"
    takes_hooks = True
    hook_setup = (
        "Notification plugin: the URL with windlass:<secret>@ before the host, format JSON, event Job Finalized. "
        "Builds that Windlass started are followed without it."
    )
    Credentials = one_of(USER_TOKEN, BASIC)

    def __init__(self, access):
        super().__init__(access)
        self.http = Http(access, keeps_cookies=True)

    def job(self, name):
        """Return the path of a job: Jenkins puts /job/ before every folder."""
        parts = [part for part in name.split("/") if part]
        if not parts or any(part in (".", "..") for part in parts):
            raise ForeignError(f"'{name}' cannot be a job of Jenkins.", access=self.access)
        return "/".join(f"job/{quote(part, safe='')}" for part in parts)

    def post(self, path, form=None, also=()):
        """POST a form; with a password, together with a crumb and the session it belongs to. Returns the Answer."""
        return self.http.ask("POST", path, data=form or {}, headers=self.crumb(), also=(302, 303, *also))

    def crumb(self):
        """Return the header that Jenkins wants of clients with a password; API tokens need none."""
        if not self.access.credentials.get("password"):
            return {}
        answer = self.http.get("crumbIssuer/api/json", also=(404,))
        if answer.status == 404:  # It wants none of anybody.
            return {}
        found = self.http.json_of(answer, dict)
        return {found["crumbRequestField"]: found["crumb"]}

    # Starting and finding.

    def start(self, job, parameters, key):
        """Start a build; returns its handle."""
        self.require_parameters(job, [*parameters, KEY])
        answer = self.post(f"{self.job(job)}/buildWithParameters", {**parameters, KEY: key})
        found = QUEUE_ITEM.search(answer.headers.get("Location", ""))
        if not found:
            raise Unclear(f"{self.http.who} did not say where {job} was put in its queue.", self.access)
        return {"job": job, "key": key, "queue": int(found[1])}

    def require_parameters(self, job, names):
        """Raise ForeignError unless a job can be built and defines these parameters."""
        tree = "buildable,property[parameterDefinitions[name]]"
        found = self.http.get_json(f"{self.job(job)}/api/json", {"tree": tree})
        defined = {
            definition.get("name")
            for item in found.get("property") or []
            for definition in item.get("parameterDefinitions") or []
        }
        missing = sorted(set(names) - defined)
        if missing:
            raise self.http.error(
                errors.REFUSED,
                f"{self.http.who}: the job {job} does not define {', '.join(missing)}, and would drop what is given for it. "
                "Define string parameters of these names.",
            )
        if found.get("buildable") is False:
            raise self.http.error(errors.REFUSED, f"{self.http.who}: the job {job} is disabled. Enable it there.")

    def find(self, job, key):
        """Return the handle of the build with a key, in the queue or among the newest builds, or None."""
        tree = f"items[id,task[url],{PARAMETERS}]"
        for item in self.http.get_json("queue/api/json", {"tree": tree}).get("items") or []:
            if key_in(item) == key:
                return {"job": job, "key": key, "queue": item["id"]}
        build = self.build_with(job, lambda found: key_in(found) == key)
        return build and {"job": job, "key": key, "queue": build.get("queueId"), "number": build["number"]}

    def build_with(self, job, is_it):
        """Return the newest build that is it, of the newest ones, or None."""
        tree = f"builds[number,queueId,{PARAMETERS}]{{0,{NEWEST_BUILDS}}}"
        answer = self.http.get(f"{self.job(job)}/api/json", {"tree": tree}, also=(404,))
        builds = self.http.json_of(answer, dict).get("builds") or [] if answer.status == 200 else []
        return next(filter(is_it, builds), None)

    # Looking.

    def look(self, handle, position):
        """Return the Look at a build; position is {"start": bytes of the log that were read, "rest": hex of a line begun}."""
        if not handle.get("number"):
            state, handle, why = self.look_at_queue(handle)
            if state:
                return Look(handle, "", position, state, why=why)
        path = f"{self.job(handle['job'])}/{handle['number']}"
        answer = self.http.get(f"{path}/api/json", {"tree": "building,result,url"}, also=(404,))
        if answer.status == 404 and position is not None:
            raise self.gone(handle)
        if answer.status == 404:  # It has its number a moment before it can be read.
            return Look(handle, "", position, QUEUED)
        build = self.http.json_of(answer, dict)
        text, position, has_more = self.read_log(path, position or {"start": 0, "rest": ""})
        result = build.get("result")
        if build.get("building") or result is None or has_more:
            return Look(handle, text, position, RUNNING, build.get("url"))
        text += bytes.fromhex(position["rest"]).decode("utf-8", "replace")
        return Look(handle, text, {**position, "rest": ""}, RESULTS.get(result, FAILURE), build.get("url"))

    def look_at_queue(self, handle):
        """Return (state, handle, why it waits) of a build that had no number; the state is None when it has one now."""
        answer = self.http.get(f"queue/item/{handle['queue']}/api/json", also=(404,))
        item = self.http.json_of(answer, dict) if answer.status == 200 else {}
        if item.get("cancelled"):
            return ABORTED, handle, None
        number = (item.get("executable") or {}).get("number")
        if number is None and answer.status == 200:
            return QUEUED, handle, COUNTDOWN.sub("", item.get("why") or "")
        if number is None:  # The item was forgotten: the build is there, or was deleted.
            build = self.build_with(
                handle["job"], lambda found: found.get("queueId") == handle["queue"] or key_in(found) == handle["key"]
            )
            number = build and build["number"]
        if number is None:
            raise self.gone(handle)
        return None, {**handle, "number": number}, None

    def gone(self, handle):
        """Return the ForeignError for a build that is not there any more."""
        return self.http.error(
            errors.NOT_FOUND,
            f"{self.http.who} knows nothing of build {handle['key']} of {handle['job']} any more: it was deleted.",
        )

    def read_log(self, path, position):
        """Return (whole new lines, position after them, whether there is more to come)."""
        with tempfile.TemporaryFile() as file:
            answer = self.http.ask(
                "GET",
                f"{path}/logText/progressiveText",
                params={"start": position["start"]},
                headers={"Accept": "text/plain"},
                limit=LARGEST_LOG,
                sink=file,
            )
            size = answer.headers.get("X-Text-Size", "")
            if not size.isdecimal():
                raise self.http.bad_answer("a log has no X-Text-Size")
            if int(size) < position["start"]:  # It shrank: it is another log, which begins anew.
                return "", {"start": 0, "rest": ""}, True
            file.seek(0)
            read = bytes.fromhex(position["rest"]) + file.read(MOST_READ)
            left_out = answer.size - MOST_READ
            if left_out > 0:
                read += f"\n({left_out} bytes of the log are left out here.)\n".encode()
        whole, newline, rest = read.rpartition(b"\n")
        if len(rest) > LONGEST_LINE:
            whole, newline, rest = read, b"", b""
        text = (whole + newline).replace(b"\r\n", b"\n").decode("utf-8", "replace")
        return text, {"start": int(size), "rest": rest.hex()}, answer.headers.get("X-More-Data") == "true"

    # What it leaves, and its end.

    def artifacts(self, handle):
        """Return the files a build left."""
        path = f"{self.job(handle['job'])}/{handle['number']}"
        found = self.http.get_json(f"{path}/api/json", {"tree": "artifacts[relativePath]"})
        return [BuiltFile(item["relativePath"]) for item in found.get("artifacts") or []]

    def fetch(self, handle, path, file):
        """Write a file that a build left into an open one; returns its SHA-256."""
        if path.startswith("/") or ".." in path.split("/"):
            raise ForeignError(f"'{path}' cannot be a file of a build.", access=self.access)
        place = f"{self.job(handle['job'])}/{handle['number']}/artifact/{quote(path)}"
        return self.http.download(place, file, LARGEST_FILE).sha256

    def abort(self, handle):
        """End a build, queued or running; one that has ended is left as it is."""
        if not handle.get("number"):
            answer = self.post(f"queue/cancelItem?id={handle['queue']}", also=(204, 404, 422))
            if answer.status in (200, 204, 302):
                return
            _, handle, _ = self.look_at_queue(handle)
        if handle.get("number"):
            self.post(f"{self.job(handle['job'])}/{handle['number']}/stop", also=(404,))

    # Trying it out, and hooks.

    def prove(self, **hints):
        """Ask who we are; the version is in a header of every answer."""
        versions = []

        def ask():
            answer = self.http.get("me/api/json", {"tree": "id"})
            versions.append(answer.headers.get("X-Jenkins"))
            return self.http.json_of(answer, dict).get("id")

        check = attempt("login", ask, lambda who: f"Jenkins {versions[0] or ''} knows us as {who}.")
        return Proof(versions[0] if versions else None, [check])

    def verify_hook(self, headers, body, secret):
        """The notification plugin signs nothing; it logs in with what the URL holds."""
        return is_basic(headers.get("authorization"), secret)

    def read_hook(self, headers, body):
        """Read what the notification plugin sends: {"name", "url", "build": {"phase", "status", "full_url", "scm"}}."""
        document = parsed(body)
        build = document.get("build")
        if not isinstance(build, dict) or not isinstance(document.get("name"), str):
            raise ValueError("it has no name and no object 'build'.")
        phase, event = build.get("phase"), f"build {build.get('phase')}"
        if phase not in ENDED_PHASES:
            return Hook(delivery_of(None, body), event)
        state = SUCCESS if build.get("status") == "SUCCESS" else FAILURE
        scm = build.get("scm") if isinstance(build.get("scm"), dict) else {}
        job = job_at(document.get("url")) or document["name"]
        finished = BuildFinished(state, job, scm.get("url"), scm.get("commit"), build.get("full_url"))
        return Hook(delivery_of(None, body), event, (finished,))


def job_at(path):
    """Return the name of the job at a path such as job/folder/job/name/, None for another path."""
    found = re.findall(r"job/([^/]+)/?", path) if isinstance(path, str) else []
    return "/".join(map(unquote, found)) or None


def key_in(item):
    """Return the WINDLASS_KEY among the parameters of a queue item or a build, or None."""
    for action in item.get("actions") or []:
        for parameter in (action or {}).get("parameters") or []:
            if parameter.get("name") == KEY:
                return parameter.get("value")
    return None
