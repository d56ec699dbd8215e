"""What stand-ins for code hosts share: one real git repository, which git itself serves and the API describes.

Lists come in pages of which the first is short and the second empty, so that nobody takes such a page for the last.
"""

import os
import subprocess
from datetime import UTC, datetime

from tests.foreign.standins.frame import Reply, StandIn, route

FIELDS = "%H%x00%an%x00%ae%x00%at%x00%B"


class CodeHost(StandIn):
    """A code host with one repository. `name` is the repository's name there, `token` the one that is taken."""

    clone_prefix = ""

    def __init__(self, repository, name, token="the-token-of-tests"):
        super().__init__()
        self.repository, self.name, self.token = repository, name, token
        self.statuses = {}
        self.pull_requests = {}

    # The repository.

    def git(self, *arguments, check=True):
        """Run git in the repository; returns its output, None when it failed and `check` is off."""
        done = subprocess.run(
            ["git", "-C", str(self.repository.folder), *arguments],
            capture_output=True,
            env={"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull},
        )
        if done.returncode:
            assert not check, done.stderr
            return None
        return done.stdout.decode().rstrip("\n")

    def commit(self, rev):
        """Return a commit as a dict, or None."""
        found = self.git("rev-parse", "--verify", "--quiet", f"{rev}^{{commit}}", check=False)
        return self.log(found, "--max-count=1")[0] if found else None

    def log(self, *arguments):
        """Return commits as dicts, newest first."""
        words = self.git("log", "-z", f"--format={FIELDS}", *arguments).split("\0")
        return [
            {
                "id": words[place],
                "author": words[place + 1],
                "email": words[place + 2],
                "at": int(words[place + 3]),
                "message": words[place + 4],
                "parents": [],
            }
            for place in range(0, len(words) - 4, 5)
        ]

    def refs(self, folder):
        """Return [(name, object, commit)] of heads or tags."""
        lines = self.git("for-each-ref", "--format=%(refname)", f"refs/{folder}").splitlines()
        return [
            (line.split("/", 2)[2], self.git("rev-parse", line), self.git("rev-parse", f"{line}^{{commit}}")) for line in lines
        ]

    def ref(self, folder, name):
        """Return (object, commit) of a branch or a tag; raises a Reply where there is none."""
        found = {known: (made, commit) for known, made, commit in self.refs(folder)}.get(name)
        if found is None:
            raise Reply(self.error(404), 404)
        return found

    def known(self, rev, status=404):
        """Return a commit as a dict; raises a Reply where there is none."""
        found = self.commit(rev)
        if found is None:
            raise Reply(self.error(status), status)
        return found

    def diff(self, older, newer):
        """Return [(letter, old path, new path)]; R is a renaming."""
        words = self.git("diff", "--name-status", "-z", "-M", older, newer).split("\0")
        found = []
        while words and words[0]:
            letter = words.pop(0)[0]
            old = words.pop(0)
            found.append((letter, old, words.pop(0) if letter == "R" else old))
        return found

    # git over HTTP.

    @route("GET", r"/(?P<place>.+?)/(?P<service>info/refs)")
    @route("POST", r"/(?P<place>.+?)/(?P<service>git-upload-pack)")
    def serve_git(self, request, place, service):
        if place.removesuffix(".git") != f"{self.clone_prefix}{self.name}":
            raise Reply(b"", 404, kind="text/plain")
        if not self.takes_git_login(request.login):
            raise Reply(b"", 401, {"WWW-Authenticate": 'Basic realm="git"'}, "text/plain")
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.repository.folder.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": request.method,
            "PATH_INFO": f"/{self.repository.folder.name}/{service}",
            "QUERY_STRING": request.target.partition("?")[2],
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(request.body)),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        done = subprocess.run(["git", "http-backend"], input=request.body, env=environment, capture_output=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        status = int(headers.pop("Status", "200").split()[0])
        return Reply(content, status, headers, headers.pop("Content-Type", "text/plain"))

    def takes_git_login(self, login):
        """Say whether git may come in with a login."""
        return login == self.git_login

    def is_git(self, request):
        """Say whether a request is git's and not the API's."""
        return request.path.endswith(("/info/refs", "/git-upload-pack"))


def chunks(items, size=2):
    """Return the pages of a list: a short one, an empty one, and then whole ones."""
    items = list(items)
    return [items[:1], [], *([items[at : at + size] for at in range(1, len(items), size)] or [[]])]


def by_link(standin, request, items):
    """Return a page as GitHub, GitLab and Gitea page: the next one in the header Link."""
    pages = chunks(items)
    number = request.number("page", 1)
    headers = {}
    if number < len(pages):
        rest = "&".join(f"{name}={value}" for name, value in request.query.items() if name != "page")
        headers["Link"] = f'<{standin.url}{request.path}?{rest}&page={number + 1}>; rel="next", <{standin.url}/>; rel="last"'
    return Reply(pages[number - 1] if number <= len(pages) else [], headers=headers)


def iso(seconds):
    """Return seconds since 1970 in ISO 8601, with an offset as vendors have it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()
