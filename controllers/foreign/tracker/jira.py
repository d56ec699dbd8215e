"""Driver of JIRA, whose issues are read and changed: Server and Data Center by REST API 2, Cloud by REST API 3.

Source: developer.atlassian.com/cloud/jira/platform/rest/v3. Which one it is, /serverInfo tells. In version 3 texts are
documents (Atlassian Document Format). A server may answer 204 to a transition and do nothing, so it is read back.
"""

import re
from datetime import UTC, datetime
from urllib.parse import quote

from pydantic import Field

from controllers.foreign import Check, DriverSettings, Proof, attempt, errors, paging
from controllers.foreign.credentials import API_TOKEN, BASIC, TOKEN, one_of
from controllers.foreign.errors import ForeignError, Unclear
from controllers.foreign.http import Http
from controllers.foreign.tracker.base import Issue, TrackerDriver

KEY = re.compile(r"(?<![A-Za-z0-9_-])([A-Z][A-Z0-9_]{1,99}-[1-9][0-9]{0,9})(?![A-Za-z0-9_-])")


class Jira(TrackerDriver):
    """JIRA Server, Data Center or Cloud. Cloud takes an e-mail address and an API token, the others a token or a password."""

    name = "jira"
    needs_credentials = True
    Credentials = one_of(API_TOKEN, TOKEN, BASIC)

    class Settings(DriverSettings):
        """Which issues are meant."""

        projects: list[str] | None = Field(
            default=None,
            max_length=200,
            description="Keys of projects; anything else that looks like an issue is none.",
        )

    def __init__(self, access):
        super().__init__(access)
        self.projects = self.Settings.model_validate(access.settings).projects
        self._http = self._info = None

    @property
    def http(self):
        """The API of the version that this JIRA has."""
        if self._http is None:
            self._http = Http(self.access, f"{self.access.url.rstrip('/')}/rest/api/{3 if self.is_cloud else 2}")
        return self._http

    @property
    def is_cloud(self):
        """Whether this is JIRA Cloud."""
        return self.info().get("deploymentType") == "Cloud"

    def info(self):
        """Return what the server says of itself."""
        if self._info is None:
            self._info = Http(self.access, f"{self.access.url.rstrip('/')}/rest/api/2").get_json("serverInfo")
        return self._info

    # Issues.

    def keys_in(self, text):
        """Return the keys that a text names, each once."""
        found = dict.fromkeys(KEY.findall(text))
        return [key for key in found if self.projects is None or key.rpartition("-")[0] in self.projects]

    def is_of(self, key, project):
        """Say whether an issue belongs to a project."""
        return key.rpartition("-")[0] == project

    def path(self, key):
        """Return the path of an issue."""
        return f"issue/{quote(key, safe='')}"

    def issue(self, key):
        """Return an Issue."""
        found = self.http.get_json(self.path(key), {"fields": "summary,status"})
        fields = found.get("fields") or {}
        state = (fields.get("status") or {}).get("name")
        if not state:
            raise self.http.bad_answer("an issue has no status")
        return Issue(found.get("key", key), fields.get("summary") or "", state, self.page_of(found.get("key", key)))

    def page_of(self, key):
        """Return where people see an issue."""
        return f"{self.access.url.rstrip('/')}/browse/{key}"

    def transition(self, key, to):
        """Move an issue to a state, and look whether it got there."""
        if self.issue(key).state.lower() == to.lower():
            return {"state": to, "changed": False}
        way = self.way_to(key, to)
        try:
            self.http.post_json(f"{self.path(key)}/transitions", {"transition": {"id": way["id"]}}, shape=None)
        except Unclear:
            if self.issue(key).state.lower() != target_of(way).lower():
                raise
        state = self.issue(key).state
        if state.lower() != target_of(way).lower():
            raise self.http.error(
                errors.REFUSED,
                f"{self.http.who} took the transition of {key} to {target_of(way)} and left it in {state}: "
                "look at the workflow's conditions and at what the credentials may do.",
            )
        return {"state": state, "changed": True}

    def way_to(self, key, to):
        """Return the transition of a name, or one that leads to a state. Raises ForeignError where there is none."""
        found = self.http.get_json(f"{self.path(key)}/transitions", {"expand": "transitions.fields"})
        ways = found.get("transitions") or []
        fitting = [way for way in ways if way.get("name", "").lower() == to.lower()] or [
            way for way in ways if target_of(way).lower() == to.lower()
        ]
        if not fitting:
            offered = ", ".join(f"{way.get('name')} (to {target_of(way)})" for way in ways) or "none"
            raise self.http.error(
                errors.REFUSED, f"{self.http.who} has no transition of {key} to {to} now; there are: {offered}."
            )
        free = [way for way in fitting if not required_in(way)]
        if not free:
            raise self.http.error(
                errors.REFUSED,
                f"{self.http.who} wants {', '.join(required_in(fitting[0]))} with the transition of {key} to {to}, "
                "which Windlass does not know: give the fields defaults, or make them optional.",
            )
        return free[0]

    def comment(self, key, text, marker):
        """Comment on an issue unless a comment holds the marker."""
        marked = f"{text}\n\n[{marker}]"
        if self.has_comment(key, marker):
            return {"changed": False}
        try:
            self.http.post_json(f"{self.path(key)}/comment", {"body": self.document(marked)})
        except Unclear:
            if not self.has_comment(key, marker):
                raise
        return {"changed": True}

    def has_comment(self, key, marker):
        """Say whether a comment holds a marker; the newest are looked at first."""
        comments = paging.by_total(self.http, f"{self.path(key)}/comment", {"orderBy": "-created"}, items="comments", limit=100)
        return any(f"[{marker}]" in words_in(comment.get("body")) for comment in comments)

    def document(self, text):
        """Return a text as this JIRA takes it."""
        if not self.is_cloud:
            return text
        paragraphs = [{"type": "paragraph", "content": [{"type": "text", "text": part}]} for part in text.split("\n\n")]
        return {"type": "doc", "version": 1, "content": paragraphs}

    def link(self, key, global_id, url, title):
        """Link an issue to a page; JIRA itself changes the link with this globalId where there is one."""
        desired = {"url": url, "title": title}
        if not self.has_link(key, global_id, desired):
            try:
                self.http.post_json(f"{self.path(key)}/remotelink", {"globalId": global_id, "object": desired})
            except Unclear:
                if not self.has_link(key, global_id, desired):
                    raise
        return {"url": self.page_of(key)}

    def has_link(self, key, global_id, desired):
        """Say whether the link of a globalId leads where it should."""
        answer = self.http.get(f"{self.path(key)}/remotelink", {"globalId": global_id}, also=(404,))
        there = self.http.json_of(answer, dict).get("object") or {} if answer.status == 200 else {}
        return desired.items() <= there.items()

    # Versions.

    def release_version(self, project, name, description):
        """Mark a version of a project as released today, made where it is not there."""
        found = self.version(project, name)
        today = datetime.now(UTC).date().isoformat()
        if found is None:
            fields = {"name": name, "project": project, "description": description}
            try:
                found = self.http.post_json("version", {**fields, "released": True, "releaseDate": today})
            except ForeignError as error:
                found = self.version(project, name)  # Somebody made it meanwhile, or our answer was lost.
                if found is None:
                    raise error
        if not found.get("released"):
            self.http.put(f"version/{found['id']}", {"released": True, "releaseDate": today})
        return {"version": name}

    def version(self, project, name):
        """Return a version of a project, or None."""
        versions = self.http.get_json(f"project/{quote(project, safe='')}/versions", shape=list)
        return next((found for found in versions if found.get("name") == name), None)

    # Trying it out.

    def prove(self, **hints):
        """Ask who we are, and for each project whether it can be seen."""
        checks = [attempt("login", lambda: self.http.get_json("myself"), lambda me: f"JIRA knows us as {me.get('displayName')}.")]
        for project in self.projects or [] if checks[0].ok else []:
            checks.append(
                attempt(
                    f"project {project}",
                    lambda project=project: self.http.get_json(f"project/{quote(project, safe='')}"),
                    lambda found: f"{found.get('name')} can be seen.",
                )
            )
        try:
            version = self.info().get("version")
        except ForeignError as error:
            return Proof(None, [Check("connection", False, error.detail)])
        return Proof(version, checks)


def target_of(way):
    """Return the name of the state that a transition leads to."""
    return (way.get("to") or {}).get("name") or ""


def required_in(way):
    """Return the names of the fields that a transition cannot do without."""
    fields = way.get("fields") or {}
    return sorted(
        field.get("name") or name for name, field in fields.items() if field.get("required") and not field.get("hasDefaultValue")
    )


def words_in(body):
    """Return the words of a comment: a text, or a document of nodes that hold texts."""
    if isinstance(body, str):
        return body
    if isinstance(body, dict):
        return (body.get("text") or "") + " ".join(words_in(node) for node in body.get("content") or [])
    return ""
