"""Every source driver against the same expectations: what Windlass sees of a repository does not depend on who keeps it."""

import contextlib
import dataclasses
import json
import subprocess

import pytest

import store
from controllers.foreign import Access, ForeignError, drivers
from controllers.foreign.errors import UNCLEAR
from controllers.foreign.hooks import Push
from controllers.foreign.source.base import Status
from tests.foreign.standins.bitbucket_cloud import BitbucketCloud
from tests.foreign.standins.bitbucket_server import BitbucketServer
from tests.foreign.standins.gitea import Gitea
from tests.foreign.standins.github import GitHub
from tests.foreign.standins.gitlab import GitLab
from tests.stack import Repository

HOSTS = {
    "bitbucket-server": (BitbucketServer, {}, {"token": "the-token-of-tests"}),
    "bitbucket-server-old": (BitbucketServer, {"version": "7.3.9"}, {"token": "the-token-of-tests"}),
    "bitbucket-cloud": (BitbucketCloud, {}, {"token": "the-token-of-tests"}),
    "bitbucket-cloud-person": (
        BitbucketCloud,
        {"email": "deploy@example.com"},
        {"email": "deploy@example.com", "token": "the-token-of-tests"},
    ),
    "github": (GitHub, {}, {"token": "the-token-of-tests"}),
    "gitlab": (GitLab, {}, {"token": "the-token-of-tests"}),
    "gitea": (Gitea, {}, {"token": "the-token-of-tests"}),
}
STATUS = Status(
    "windlass/shop/production",
    "pending",
    "https://windlass.example.net/deploys/7",
    "shop in production",
    "v7: deploy 7 has begun",
)


def driver_name(host):
    """Return the driver of a case."""
    return host.removesuffix("-old").removesuffix("-person")


@dataclasses.dataclass
class Place:
    """A repository as a driver sees it; `standin` is None for plain git."""

    driver: object
    name: str
    standin: object
    repository: object
    commits: dict


@contextlib.contextmanager
def host_of(name, repository, token=None):
    """Yield (driver, repository's name there, stand-in) of a case."""
    if name == "git":
        yield drivers()["git"](Access("main", None, {}, {}, "git")), str(repository.folder), None
        return
    make, options, credentials = HOSTS[name]
    with make(repository, **options) as standin:
        given = {**credentials, **({"token": token} if token else {})}
        driver = drivers()[driver_name(name)](Access("main", standin.url, {}, given, driver_name(name)))
        yield driver, standin.name, standin


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A repository with five commits, branches and tags, which no test writes to; returns (repository, {name: commit})."""
    repository = Repository(tmp_path_factory.mktemp("made") / "shop")
    found = {"first": repository.commit({"app.py": "one", "old.txt": "text " * 50, "docs/a.txt": "a"}, "First")}
    repository.git("tag", "v1")
    found["second"] = repository.commit({"app.py": "two"}, "SHOP-1 Second\n\nWith a body\nof two lines.")
    repository.git("mv", "old.txt", "new.txt")
    repository.git("rm", "--quiet", "docs/a.txt")
    found["third"] = repository.commit({"docs/b.txt": "b"}, "Third: ümlaut")
    repository.git("tag", "--annotate", "--message", "The second version", "v2")
    found["fourth"] = repository.commit({"app.py": "four"}, "Fourth")
    repository.git("branch", "feature/a-b")
    repository.git("branch", "v1")
    found["fifth"] = repository.commit({"app.py": "five"}, "Fifth")
    return repository, found


@pytest.fixture
def repository(made, settings):
    """The repository, which Windlass may also read by path."""
    settings.git.local_paths = [str(made[0].folder.parent)]
    return made[0]


@pytest.fixture
def history(made):
    """Its commits by name."""
    return made[1]


@pytest.fixture(params=["git", *HOSTS])
def place(request, repository, history):
    """Every driver with the same repository."""
    with host_of(request.param, repository) as (driver, name, standin):
        yield Place(driver, name, standin, repository, history)


@pytest.fixture(params=HOSTS)
def hosted(request, repository, history):
    """Every driver that has an API."""
    with host_of(request.param, repository) as (driver, name, standin):
        yield Place(driver, name, standin, repository, history)


# Looking.


def test_refs_are_listed_with_their_commits(place):
    found = {(ref.kind, ref.name): ref.commit for ref in place.driver.refs(place.name)}
    assert found == {
        ("branch", "main"): place.commits["fifth"],
        ("branch", "feature/a-b"): place.commits["fourth"],
        ("branch", "v1"): place.commits["fourth"],
        ("tag", "v1"): place.commits["first"],
        ("tag", "v2"): place.commits["third"],
    }


def test_a_ref_resolves_to_its_commit(place):
    for ref, branch, commit in (
        ("main", "main", "fifth"),
        ("feature/a-b", "main", "fourth"),
        ("v2", "main", "third"),
        ("v1", "main", "first"),
        ("v1", "v1", "fourth"),
        ("refs/heads/v1", "main", "fourth"),
        ("refs/tags/v1", "main", "first"),
    ):
        assert place.driver.resolve(place.name, ref, branch).commit == place.commits[commit], (ref, branch)


def test_a_commit_resolves_whole_and_shortened(place):
    for name in (place.commits["second"], place.commits["second"][:9]):
        found = place.driver.resolve(place.name, name)
        assert (found.commit, found.author) == (place.commits["second"], "Tester")
        assert (found.subject, found.message) == ("SHOP-1 Second", "SHOP-1 Second\n\nWith a body\nof two lines.")
        assert found.at.endswith(".000Z") and len(found.at) == 24


def test_what_is_not_there_is_reported(place):
    for ref in ("nothing", "feature/none", "1234567", "f" * 40):
        with pytest.raises(ForeignError, match="has no branch, tag or commit"):
            place.driver.resolve(place.name, ref)


def test_commits_between_two_are_the_same_from_the_mirror_and_from_the_api(place, work):
    older, newer = place.commits["first"], place.commits["fifth"]
    if place.standin:
        commits = place.driver.commits(place.name, older, newer, 50)
        assert place.standin.asked("git-upload-pack") == []
    place.driver.checkout(place.name, "main", "main", work)
    asked = len(place.standin.requests) if place.standin else 0
    known = place.driver.commits(place.name, older, newer, 50)
    if place.standin:
        assert commits == known
        assert len(place.standin.requests) == asked, "a mirror needs nobody to be asked"
    assert [commit["commit"] for commit in known] == [place.commits[name] for name in ("fifth", "fourth", "third", "second")]
    assert known[-1]["message"] == "SHOP-1 Second\n\nWith a body\nof two lines."
    assert place.driver.commits(place.name, older, newer, 2) == known[:2]
    assert place.driver.commits(place.name, newer, older, 50) == []


def test_changed_files_are_listed_in_the_right_direction(place):
    found = place.driver.changed_files(place.name, place.commits["first"], place.commits["fifth"], 100)
    assert [(change.path, change.change) for change in found] == [
        ("app.py", "changed"),
        ("docs/a.txt", "removed"),
        ("docs/b.txt", "added"),
        ("new.txt", "added"),
        ("old.txt", "removed"),
    ]


def test_changed_files_of_going_back_are_listed(place):
    if place.driver.name == "github":
        pytest.skip("GitHub compares with the common ancestor only.")
    found = place.driver.changed_files(place.name, place.commits["fifth"], place.commits["third"], 100)
    assert [(change.path, change.change) for change in found] == [("app.py", "changed")]


def test_repositories_are_listed_to_the_last_page(hosted):
    assert len(list(hosted.driver.repositories())) == 3
    assert hosted.name in [found.name for found in hosted.driver.repositories("shop")]
    assert "acme/zoo" not in [found.name.lower() for found in hosted.driver.repositories("shop")]


def test_the_tree_of_a_ref_is_the_same_everywhere(place, work):
    found = place.driver.checkout(place.name, "main", "main", work)
    plain = drivers()["git"](Access()).checkout(str(place.repository.folder), "main", "main", work)
    assert found == plain
    assert [entry[0] for entry in store.manifest(found.digest)] == ["app.py", "docs/b.txt", "new.txt"]
    assert "the-token-of-tests" not in "\n".join(work.lines)


def test_an_annotated_tags_own_hash_is_checked_out_as_its_commit(place, work):
    made = place.repository.git("rev-parse", "v2")
    assert made != place.commits["third"]
    place.driver.checkout(place.name, "v2", "main", work)
    assert place.driver.checkout(place.name, made, "main", work).commit == place.commits["third"]


def test_pull_requests_that_brought_commits_are_listed_once(hosted):
    second, third = hosted.commits["second"], hosted.commits["third"]
    hosted.standin.pull_requests = {
        second: [(3, "Faster", "Jo", True)],
        third: [(3, "Faster", "Jo", True)],
        hosted.commits["fourth"]: [(4, "Not yet", "Al", False)],
    }
    asked = [hosted.commits[name] for name in ("fifth", "fourth", "third", "second")]
    assert hosted.driver.pull_requests(hosted.name, asked) == [
        {"number": 3, "title": "Faster", "url": f"{hosted.standin.url}/pull-requests/3", "author": "Jo"}
    ]


def test_plain_git_has_no_pull_requests(repository, history):
    with host_of("git", repository) as (driver, name, _):
        assert driver.pull_requests(name, [history["first"]]) == []


# Names.


def test_a_repository_may_be_named_by_its_url(hosted):
    assert hosted.driver.address_of(hosted.name).url.endswith(f"{hosted.name}.git")
    assert hosted.driver.address_of(hosted.driver.clone_url(hosted.name)) == hosted.driver.address_of(hosted.name)
    assert hosted.driver.is_same_repository(hosted.name, hosted.name)
    assert hosted.driver.is_same_repository(hosted.driver.clone_url(hosted.name), hosted.name)
    assert not hosted.driver.is_same_repository(hosted.name, "acme/other")


def test_what_is_no_repository_is_refused(hosted):
    for name in ("shop", "a/../b", "acme/shop?x=1", "acme/", "https://evil.example.com/acme/shop", "a b/c"):
        with pytest.raises(ForeignError):
            hosted.driver.address_of(name)
    assert hosted.standin.requests == []


def test_a_page_of_a_commit_is_named(hosted):
    url = hosted.driver.web_url(hosted.name, hosted.commits["first"])
    assert url.startswith(hosted.standin.url) and url.endswith(hosted.commits["first"])


# Statuses.


def test_a_status_is_said_once(hosted):
    commit = hosted.commits["fifth"]
    for _ in range(3):
        hosted.driver.set_status(hosted.name, commit, STATUS)
    assert [item[1:] for item in hosted.standin.statuses_of(commit)] == [("pending", STATUS.url, STATUS.description)]
    assert len(hosted.standin.asked("^POST")) == 1
    done = dataclasses.replace(STATUS, state="success", description="v7: deploy 7 has succeeded")
    hosted.driver.set_status(hosted.name, commit, done)
    hosted.driver.set_status(hosted.name, commit, done)
    assert hosted.standin.statuses_of(commit)[-1][1:] == ("success", STATUS.url, done.description)
    assert len(hosted.standin.asked("^POST")) == 2
    assert next(hosted.driver.statuses(hosted.name, commit)).state == "success"


def test_a_status_whose_answer_is_lost_is_looked_up_before_it_is_repeated(hosted):
    commit = hosted.commits["fifth"]
    hosted.standin.fault("lost", on="^POST", times=1)
    hosted.driver.set_status(hosted.name, commit, STATUS)
    assert len(hosted.standin.asked("^POST")) == 1
    assert len(hosted.standin.statuses_of(commit)) == 1


def test_a_status_that_was_not_taken_is_unclear_until_it_is_said_again(hosted):
    commit = hosted.commits["fifth"]
    hosted.standin.fault("reset", on="^POST", times=1)
    with pytest.raises(ForeignError) as caught:
        hosted.driver.set_status(hosted.name, commit, STATUS)
    assert caught.value.kind == UNCLEAR and hosted.standin.statuses_of(commit) == []
    hosted.driver.set_status(hosted.name, commit, STATUS)
    assert len(hosted.standin.statuses_of(commit)) == 1


def test_a_long_status_fits(hosted):
    commit = hosted.commits["fifth"]
    long = dataclasses.replace(STATUS, key="windlass/" + "x" * 300, description="y" * 400)
    other = dataclasses.replace(long, key="windlass/" + "x" * 299 + "z", state="success")
    for status in (long, other, long, other):
        hosted.driver.set_status(hosted.name, commit, status)
    statuses = hosted.standin.statuses_of(commit)
    assert len(statuses) == 2 and len({item[0] for item in statuses}) == 2


def test_what_others_built_is_judged_without_what_we_said(hosted):
    commit = hosted.commits["fifth"]
    hosted.driver.set_status(hosted.name, commit, dataclasses.replace(STATUS, state="failure"))
    assert hosted.driver.build_state(hosted.name, commit) is None
    for key, verdict, state in (
        ("ci", "success", "success"),
        ("lint", "pending", "pending"),
        ("lint", "success", "success"),
        ("docs", "pending", "pending"),
        ("test", "failure", "failure"),
    ):
        hosted.standin.judge(commit, key, verdict)
        assert hosted.driver.build_state(hosted.name, commit) == state, (key, verdict)


def test_checks_of_github_count(repository, history):
    with host_of("github", repository) as (driver, name, standin):
        standin.judge(history["fifth"], "ci", "success")
        for check, state in (
            ({"status": "in_progress", "conclusion": None}, "pending"),
            ({"status": "completed", "conclusion": "success"}, "success"),
            ({"status": "completed", "conclusion": "timed_out"}, "failure"),
        ):
            standin.checks[history["fifth"]] = [{"name": "test", **check}]
            assert driver.build_state(name, history["fifth"]) == state


def test_github_tells_more_than_250_commits(tmp_path):
    repository = Repository(tmp_path / "long")
    first = repository.commit({"app.py": "one"}, "First")
    stream = "".join(
        f"commit refs/heads/long\ncommitter T <t@example.com> {number} +0000\ndata <<.\nCommit {number}\n.\n"
        + (f"from {first}\n" if number == 1 else "")
        for number in range(1, 261)
    )
    subprocess.run(["git", "-C", str(repository.folder), "fast-import", "--quiet"], input=stream.encode(), check=True)
    newest = repository.git("rev-parse", "long")
    with host_of("github", repository) as (driver, name, _):
        found = driver.commits(name, first, newest, 300)
        assert [item["subject"] for item in found] == [f"Commit {number}" for number in range(260, 0, -1)]
        assert len(driver.commits(name, first, newest, 10)) == 10


# Hooks.


@pytest.mark.parametrize("kind, name", [("branch", "feature/a-b"), ("tag", "v2")])
def test_a_push_is_verified_and_read(hosted, kind, name):
    commit = hosted.commits["fourth" if kind == "branch" else "third"]
    headers, body = hosted.standin.push_hook("the-hook-secret", [(kind, name, commit)])
    assert hosted.driver.verify_hook(headers, body, "the-hook-secret")
    assert not hosted.driver.verify_hook(headers, body, "another-secret")
    found = hosted.driver.read_hook(headers, body)
    assert found.delivery == "delivery-1"
    assert found.events == (Push(hosted.standin.name, kind, name, commit, "Jo"),)
    assert hosted.driver.is_same_repository(hosted.name, found.events[0].repository)


def test_a_changed_or_unsigned_body_is_not_believed(hosted):
    headers, body = hosted.standin.push_hook("the-hook-secret", [("branch", "main", hosted.commits["fifth"])])
    if driver_name(hosted.driver.name) != "gitlab":  # GitLab signs nothing: it shows that it knows a token.
        assert not hosted.driver.verify_hook(headers, body + b" ", "the-hook-secret")
    bare = {name: value for name, value in headers.items() if "signature" not in name and "token" not in name}
    assert not hosted.driver.verify_hook(bare, body, "the-hook-secret")


def test_a_deleted_ref_has_no_commit(hosted):
    headers, body = hosted.standin.push_hook("the-hook-secret", [("branch", "gone", None)])
    assert hosted.driver.read_hook(headers, body).events == (Push(hosted.standin.name, "branch", "gone", None, "Jo"),)


@pytest.mark.parametrize("host", ["bitbucket-server", "bitbucket-cloud"])
def test_one_push_may_move_many_refs(host, repository, history):
    with host_of(host, repository) as (driver, _, standin):
        changes = [("branch", "main", history["fifth"]), ("tag", "v1", history["first"]), ("branch", "gone", None)]
        headers, body = standin.push_hook("the-hook-secret", changes)
        assert [(push.kind, push.name, push.commit) for push in driver.read_hook(headers, body).events] == changes


def test_a_body_that_is_none_is_refused(hosted):
    headers, _ = hosted.standin.push_hook("the-hook-secret", [("branch", "main", hosted.commits["fifth"])])
    for body in (b"", b"{", b"[]", b"{}", b'{"ref": 1}', b'\xff{"a": 1}', b"[" * 100_000):
        with pytest.raises(ValueError):
            hosted.driver.read_hook(headers, body)


def test_a_ping_is_known(repository, history):
    for host, headers in (
        ("bitbucket-server", {"x-event-key": "diagnostics:ping"}),
        ("github", {"x-github-event": "ping"}),
    ):
        with host_of(host, repository) as (driver, _, _standin):
            assert driver.is_ping(headers)
            assert not driver.is_ping({})


def test_an_event_that_says_nothing_new_has_no_news(hosted):
    names = ("x-event-key", "x-github-event", "x-gitlab-event", "x-gitea-event")
    assert hosted.driver.read_hook(dict.fromkeys(names, "something:else"), json.dumps({"a": 1}).encode()).events == ()


@pytest.mark.parametrize(
    "host, headers, payload, state",
    [
        (
            "github",
            {"x-github-event": "check_suite"},
            {"action": "completed", "check_suite": {"conclusion": "success", "head_sha": "a" * 40}},
            "success",
        ),
        ("github", {"x-github-event": "status"}, {"state": "error", "context": "ci", "sha": "a" * 40}, "failure"),
        ("gitea", {"x-gitea-event": "status"}, {"state": "success", "context": "ci", "sha": "a" * 40}, "success"),
        (
            "gitlab",
            {"x-gitlab-event": "Pipeline Hook"},
            {"object_attributes": {"status": "failed", "sha": "a" * 40}},
            "failure",
        ),
        (
            "bitbucket-cloud",
            {"x-event-key": "repo:commit_status_updated"},
            {"commit_status": {"state": "SUCCESSFUL", "key": "ci", "commit": {"hash": "a" * 40}}},
            "success",
        ),
    ],
)
def test_the_end_of_a_build_is_read(host, headers, payload, state, repository, history):
    with host_of(host, repository) as (driver, name, _):
        names = {"repository": {"full_name": name}, "project": {"path_with_namespace": name}}
        found = driver.read_hook(headers, json.dumps({**names, **payload}).encode())
        (event,) = found.events
        assert (event.state, event.commit, event.repository) == (state, "a" * 40, name)


# Trying it out, and what goes wrong.


def test_trying_out_says_what_works(hosted):
    found = hosted.driver.prove(repository=hosted.name).describe()
    assert found["ok"], found
    assert {check["name"] for check in found["checks"]} >= {"login", "repository", "git"}
    if hosted.driver.name != "bitbucket-cloud":
        assert found["version"]


def test_trying_out_plain_git_reads_the_repository(repository, history):
    with host_of("git", repository) as (driver, name, _):
        assert driver.prove(repository=name).describe()["checks"][0]["message"] == "It has 3 branches."
        assert not driver.prove(repository=name + "-not").describe()["ok"]
        assert not driver.prove().describe()["ok"]


@pytest.mark.parametrize("host", HOSTS)
def test_refused_credentials_are_reported_and_not_tried_again(host, repository, history, work):
    with host_of(host, repository, token="wrong-token-of-tests") as (driver, name, standin):
        found = driver.prove(repository=name).describe()
        assert not found["ok"]
        assert "wrong-token-of-tests" not in json.dumps(found)
        with pytest.raises(ForeignError) as caught:
            driver.resolve(name, "main")
        assert caught.value.kind == "refused-credentials" and "'main'" in caught.value.detail
        without_login = ("/application-properties",) + (() if driver.name == "gitlab" else ("/version",))
        assert len([sent for sent in standin.requests if not standin.is_git(sent) and not sent.path.endswith(without_login)]) == 1
        with pytest.raises(ForeignError, match=r"refuses the credentials.*It was not asked again"):
            driver.checkout(name, "main", "main", work)
        assert [sent for sent in standin.requests if standin.is_git(sent)] == []


def test_a_repository_that_is_not_there_is_reported(hosted, work):
    other = hosted.name.rsplit("/", 1)[0] + "/nothing"
    with pytest.raises(ForeignError):
        list(hosted.driver.refs(other))
    with pytest.raises(ForeignError, match="no repository at this address"):
        hosted.driver.checkout(other, "main", "main", work)


def test_an_answer_of_the_wrong_shape_is_reported(hosted):
    hosted.standin.fault("status", status=200, body={"values": [{}], "version": "8.0"})
    with pytest.raises(ForeignError) as caught:
        list(hosted.driver.refs(hosted.name))
    assert caught.value.kind == "bad-answer"
