"""Driver of GitHub's issues, of github.com or an own GitHub Enterprise Server (docs.github.com/en/rest/issues).

They have two states, open and closed, and no links of their own kind: a link is a comment that is changed in place. A version is
a milestone, released when it is closed.
"""

import re
from urllib.parse import quote

from pydantic import Field

from controllers.foreign import DriverSettings, Proof, attempt, errors, paging
from controllers.foreign.credentials import TOKEN, one_of
from controllers.foreign.errors import Unclear
from controllers.foreign.http import Http
from controllers.foreign.tracker.base import Issue, TrackerDriver

HOME, HOME_API = "https://github.com", "https://api.github.com"
HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
REPOSITORY = r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+"
KEY = re.compile(rf"(?<![\w&/#-])({REPOSITORY})?#([1-9][0-9]{{0,9}})(?!\w)")
WHOLE_KEY = re.compile(rf"({REPOSITORY})#([1-9][0-9]*)")
OPEN, CLOSED = "open", "closed"
CLOSING = frozenset({CLOSED, "done", "completed"})
PAGE = 100


class GitHubIssues(TrackerDriver):
    """GitHub's issues: #12 is one of the repository in the settings, owner/name#12 of any. The states are open and closed."""

    name = "github-issues"
    default_url = HOME
    needs_credentials = True
    Credentials = one_of(TOKEN)

    class Settings(DriverSettings):
        """Whose issues a bare number means."""

        repository: str = Field(pattern=f"^{REPOSITORY}$", max_length=200, description="owner/name")

    def __init__(self, access):
        super().__init__(access)
        self.repository = access.settings["repository"]
        home = access.url.rstrip("/")
        self.http = Http(access, HOME_API if home == HOME else f"{home}/api/v3", headers=HEADERS)

    def keys_in(self, text):
        """Return the keys that a text names, with their repository, each once."""
        return list(dict.fromkeys(f"{found[1] or self.repository}#{found[2]}" for found in KEY.finditer(text)))

    def is_of(self, key, project):
        """Say whether an issue is one of a repository."""
        return key.rpartition("#")[0].lower() == project.lower()

    def path(self, key):
        """Return the path of an issue. Raises ForeignError for what is no key."""
        found = WHOLE_KEY.fullmatch(key)
        if not found:
            raise self.http.error(errors.UNUSABLE, f"'{key}' is no issue of GitHub: use owner/name#12.")
        return f"repos/{found[1]}/issues/{found[2]}"

    def issue(self, key):
        """Return an Issue."""
        found = self.http.get_json(self.path(key))
        return Issue(key, found.get("title") or "", found.get("state") or "", found.get("html_url") or "")

    def transition(self, key, to):
        """Open or close an issue."""
        desired = CLOSED if to.lower() in CLOSING else OPEN if to.lower() == OPEN else None
        if desired is None:
            raise self.http.error(errors.REFUSED, f"GitHub's issues are open or closed, and not {to}.")
        if self.issue(key).state == desired:
            return {"state": desired, "changed": False}
        reason = {"state_reason": "completed"} if desired == CLOSED else {}
        try:
            self.http.sent_json("PATCH", self.path(key), {"state": desired, **reason}, None, dict)
        except Unclear:
            if self.issue(key).state != desired:
                raise
        return {"state": desired, "changed": True}

    def comment(self, key, text, marker):
        """Comment on an issue unless a comment holds the marker, which readers do not see."""
        if self.comment_with(key, marker):
            return {"changed": False}
        self.add_comment(key, text, marker)
        return {"changed": True}

    def link(self, key, global_id, url, title):
        """Link an issue to a page by a comment, which a later link with this global_id changes."""
        text = f"[{title.replace('[', '(').replace(']', ')')}]({url})"
        found = self.comment_with(key, global_id)
        if found is None:
            self.add_comment(key, text, global_id)
        elif found.get("body") != marked(text, global_id):
            owner = self.path(key).rpartition("/issues/")[0]
            body = {"body": marked(text, global_id)}
            self.http.sent_json("PATCH", f"{owner}/issues/comments/{found['id']}", body, None, dict)
        return {"url": self.issue(key).url}

    def add_comment(self, key, text, marker):
        """Write a comment once, also when the answer is lost."""
        try:
            self.http.post_json(f"{self.path(key)}/comments", {"body": marked(text, marker)})
        except Unclear:
            if not self.comment_with(key, marker):
                raise

    def comment_with(self, key, marker):
        """Return the comment that holds a marker, or None."""
        comments = paging.by_link(self.http, f"{self.path(key)}/comments", {"per_page": PAGE})
        return next((found for found in comments if hidden(marker) in (found.get("body") or "")), None)

    def release_version(self, project, name, description):
        """Close the milestone of a name, made where it is not there."""
        path = f"repos/{project}/milestones"
        milestones = paging.by_link(self.http, path, {"state": "all", "per_page": PAGE})
        found = next((item for item in milestones if item.get("title") == name), None)
        if found is None:
            found = self.make_milestone(path, {"title": name, "description": description, "state": CLOSED})
        if found.get("state") != CLOSED:
            self.http.sent_json("PATCH", f"{path}/{found['number']}", {"state": CLOSED}, None, dict)
        return {"version": name}

    def make_milestone(self, path, fields):
        """Make a milestone; one whose answer was lost is looked up."""
        try:
            return self.http.post_json(path, fields)
        except Unclear:
            milestones = paging.by_link(self.http, path, {"state": "all", "per_page": PAGE})
            found = next((item for item in milestones if item.get("title") == fields["title"]), None)
            if found is None:
                raise
            return found

    def prove(self, **hints):
        """Ask who we are, and whether the repository has issues we may see."""
        path = f"repos/{quote(self.repository)}"
        login = attempt("login", lambda: self.http.get_json("user"), lambda me: f"GitHub knows us as {me.get('login')}.")
        checks = [login]
        if login.ok:
            checks.append(
                attempt(
                    "issues",
                    lambda: self.http.get_json(f"{path}/issues", {"per_page": 1}, shape=list),
                    lambda _: f"The issues of {self.repository} can be read.",
                )
            )
        return Proof(None, checks)


def hidden(marker):
    """Return a marker as Markdown that shows nothing."""
    return f"<!-- {marker} -->"


def marked(text, marker):
    """Return a text with a marker."""
    return f"{text}\n\n{hidden(marker)}"
