"""Answers in which one value is not what the API promises: reading them ends well or in an error that names the system.

Each case is asked once over the wire; then its answers are given again from memory with one value after the other changed.
"""

import copy
import dataclasses
import functools
import io
import json
import logging
import typing
from urllib.parse import urlencode

import pytest
from requests.structures import CaseInsensitiveDict

from controllers.catalog.integrations import IntegrationController
from controllers.foreign import ForeignError, circuits, errors, paging
from controllers.foreign.artifacts.base import Digests
from controllers.foreign.http import Answer, Http
from controllers.foreign.source.git import Git
from controllers.foreign.source.github import GitHub
from tests.foreign.drivers import CONTENT, DEEDS, DRIVERS
from tests.foreign.standins.artifactory import digests_of
from tests.stack import Repository

LIES = (None, 7, "x", [], {})
ENDLESS = 10**30  # Instead of a number.
MOST_REQUESTS = 200
SOURCES = ("bitbucket-server", "bitbucket-cloud", "github", "gitlab", "gitea")
TRACKERS = ("jira-server", "jira-cloud", "github-issues")


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    made = Repository(tmp_path_factory.mktemp("lies") / "shop")
    made.first = made.commit({"app.py": "one", "old.py": "text " * 50}, "SHOP-1: begin")
    made.git("mv", "old.py", "new.py")
    made.second = made.commit({"app.py": "two"}, "SHOP-2: go on")
    made.git("tag", "--annotate", "--message", "One", "v1")
    return made


def of_source(case, repository):
    """Return what is looked at in a source."""
    name, first, second = case.standin.name, repository.first, repository.second
    case.standin.pull_requests = {second: [(3, "Faster", "Jo", True)]}
    case.do(case.driver)
    return {
        "refs": lambda driver: list(driver.refs(name)),
        "repositories": lambda driver: list(driver.repositories()),
        "a branch": lambda driver: driver.resolve(name, "main", "main"),
        "a tag": lambda driver: driver.resolve(name, "v1"),
        "a commit": lambda driver: driver.resolve(name, second),
        "commits": lambda driver: driver.commits(name, first, second, 50),
        "changed files": lambda driver: driver.changed_files(name, first, second, 50),
        "pull requests": lambda driver: driver.pull_requests(name, [second]),
        "statuses": lambda driver: list(driver.statuses(name, second)),
        "builds": lambda driver: driver.build_state(name, second),
        "a status said": case.do,
        "proof": lambda driver: driver.prove(repository=name),
    }


def of_jenkins(case, repository):
    """Return what is looked at in Jenkins."""
    handle = {"job": "team/shop", "key": "key-0", "number": 1}
    parameters = {"WINDLASS_COMMIT": "c" * 40, "WINDLASS_REF": "main"}
    queued = case.do(case.driver)
    return {
        "a queue item": lambda driver: driver.look(queued, None),
        "a build": case.look,
        "a build by its key": lambda driver: driver.find("team/shop", "key-0"),
        "a start": lambda driver: driver.start("team/shop", parameters, "key-2"),
        "artifacts": lambda driver: driver.artifacts(handle),
        "proof": lambda driver: driver.prove(),
    }


def of_artifactory(case, repository):
    """Return what is looked at in Artifactory."""
    digests = Digests(**digests_of(CONTENT))
    return {
        "versions": lambda driver: driver.versions(""),
        "a file": case.look,
        "properties": lambda driver: driver.properties("there"),
        "a file published": lambda driver: driver.publish("there", io.BytesIO(CONTENT), digests),
        "proof": lambda driver: driver.prove(),
    }


def of_index(case, repository):
    """Return what is looked at in a package index."""
    return {"versions": lambda driver: driver.versions("server"), "a file": case.look}


def of_tracker(case, repository):
    """Return what is looked at in a tracker."""
    return {"an issue": case.look, "a deed": case.do, "proof": lambda driver: driver.prove()}


CASES = {
    **dict.fromkeys(SOURCES, of_source),
    "jenkins": of_jenkins,
    "artifactory": of_artifactory,
    "package-index": of_index,
    **dict.fromkeys((*TRACKERS, *DEEDS), of_tracker),
}


class Echo:
    """What a system answered to one call, to be given again, with one value another."""

    def __init__(self):
        self.answers = {}
        self.lie = None

    def begin(self, lie=None):
        """Give the answers from the first on; lie: (answer's key, its number, path to a value, another value)."""
        self.lie, self.given = lie, {}

    @staticmethod
    def key(method, url, params):
        """Return what tells a request from others."""
        return f"{method} {url}?{urlencode(params or {})}"

    def record(self, answer, method, url, params):
        """Remember an answer."""
        self.answers.setdefault(self.key(method, url, params), []).append(answer)

    def answer(self, method, url, params):
        """Return the answer to a request: the last one again and again, and 404 to what was never asked."""
        key = self.key(method, url, params)
        number = self.given[key] = self.given.get(key, 0) + 1
        assert sum(self.given.values()) < MOST_REQUESTS, "it asks for ever"
        known = self.answers.get(key)
        if not known:
            return Answer(404, CaseInsensitiveDict({"Content-Type": "application/json"}), b"{}", url)
        number = min(number, len(known)) - 1
        if self.lie is None or self.lie[:2] != (key, number):
            return known[number]
        document = changed(json.loads(known[number].body), *self.lie[2:])
        return dataclasses.replace(known[number], body=json.dumps(document).encode())

    def lies(self):
        """Yield every lie about a value in an answer; of values that are read in the same way about one."""
        seen = set()
        for key, answers in self.answers.items():
            for number, answer in enumerate(answers):
                if "json" not in answer.headers.get("Content-Type", "") or not answer.body:
                    continue
                for path, there in places(json.loads(answer.body)):
                    way = (key.partition("?")[0], number, *("*" if isinstance(name, int) else name for name in path))
                    if way not in seen:
                        seen.add(way)
                        lies = (*LIES, ENDLESS) if isinstance(there, int) else LIES
                        yield from ((key, number, path, value) for value in lies if value != there)


def places(document, path=()):
    """Yield (path, value) of everything in a document but itself."""
    inside = document.items() if isinstance(document, dict) else enumerate(document if isinstance(document, list) else ())
    for name, value in inside:
        yield (*path, name), value
        yield from places(value, (*path, name))


def changed(document, path, value):
    """Return a document with another value in one place."""
    document = copy.deepcopy(document)
    holder = functools.reduce(lambda part, name: part[name], path[:-1], document)
    holder[path[-1]] = value
    return document


def require_types(found):
    """Fail unless all that a look tells is of the types it says."""
    for item in found if isinstance(found, list) else [found]:
        if dataclasses.is_dataclass(item):
            for name, kind in typing.get_type_hints(type(item)).items():
                assert isinstance(getattr(item, name), kind), (item, name)


@pytest.fixture
def echo(monkeypatch):
    """Have requests answered from memory from `echo.begin()` on."""
    made, once = Echo(), Http.once
    made.given = None

    def answered(self, method, url, params, headers, data, limit, sink, total_s):
        if made.given is not None:
            return made.answer(method, url, params)
        answer = once(self, method, url, params, headers, data, limit, sink, total_s)
        made.record(answer, method, url, params)
        return answer

    monkeypatch.setattr(Http, "once", answered)
    monkeypatch.setattr(paging, "MOST_PAGES", 10)
    monkeypatch.setattr(Git, "branches", lambda *_: 3)
    monkeypatch.setattr(logging.getLogger("controllers.foreign.answers"), "disabled", True)
    return made


@pytest.mark.parametrize("name", CASES)
def test_a_value_that_is_not_what_was_promised_is_reported_as_such(echo, repository, foreign_settings, name):
    make, case_of = {**DRIVERS, **DEEDS}[name]
    with make(repository) as standin:
        case = case_of(standin)
        looks = CASES[name](case, repository)
        for look in looks.values():
            echo.given, echo.answers = None, {}
            look(case.another())
            assert echo.answers
            for lie in echo.lies():
                echo.begin(lie)
                circuits.forget()
                try:
                    require_types(look(case.another()))
                except ForeignError as error:
                    assert error.system == "main" and "main" in error.detail, lie


def test_a_test_of_an_integration_tells_of_a_lie_and_the_log_where_it_was(integration, repository, foreign_settings, caplog):
    make, case_of = DRIVERS["github"]
    with make(repository) as standin:
        case_of(standin)
        integration("code", "github", standin.url, {"token": standin.token})
        assert IntegrationController(None).prove("code", standin.name)["checks"][1]["ok"]
        standin.fault("status", on="GET .*/repos/", status=200, body={"permissions": 7})
        checks = {check["name"]: check for check in IntegrationController(None).prove("code", standin.name)["checks"]}
        assert checks["login"]["ok"] and not checks["repository"]["ok"]
        message = checks["repository"]["message"]
        assert "'code' gave an answer that cannot be used" in message and "Check its URL" in message
        assert "try_repository" in caplog.text and "AttributeError" in caplog.text
        assert standin.token not in caplog.text


def test_a_comparison_that_says_it_never_ends_is_not_followed(repository, foreign_settings):
    make, case_of = DRIVERS["github"]
    with make(repository) as standin:
        driver = case_of(standin).driver
        standin.fault("status", on="GET .*/compare/", status=200, body={"total_commits": 10**30, "commits": []})
        with pytest.raises(ForeignError, match="does not end") as failed:
            driver.commits(standin.name, repository.first, repository.second, 50)
        assert failed.value.kind == errors.BAD_ANSWER and isinstance(driver, GitHub)
        assert len(standin.requests) < 5
