"""Artifact drivers: one suite for those that keep files, then what is particular to Artifactory and to package indexes."""

import hashlib
import io

import pytest

from controllers import foreign
from controllers.foreign import ForeignError, errors
from controllers.foreign.artifacts.base import Digests
from tests.controllers.conftest import index, packages
from tests.controllers.servers import wheel
from tests.foreign.standins.artifactory import Artifactory, Storage, digests_of
from tests.foreign.standins.frame import LOGIN_PAGE, Reply, StandIn, route

__all__ = ["index", "packages"]
PATH, CONTENT = "shop/shop-v1.tar.gz", b"one" * 9000
ODD = {"a,b|c": "d;e=f\\g ü+&%"}


@pytest.fixture
def artifactory():
    with Artifactory() as standin:
        yield standin


@pytest.fixture
def jfrog(artifactory):
    settings = {"repository": "releases"}
    access = foreign.Access("kept", f"{artifactory.url}/artifactory", settings, {"token": artifactory.token}, "artifactory")
    return foreign.drivers()["artifactory"](access)


@pytest.fixture
def directory(settings, tmp_path):
    (tmp_path / "kept").mkdir()
    settings.artifacts.local_paths = [str(tmp_path)]
    access = foreign.Access("kept", None, {"folder": str(tmp_path / "kept")}, {}, "directory")
    return foreign.drivers()["directory"](access)


@pytest.fixture(params=["jfrog", "directory"], ids=["artifactory", "directory"])
def driver(request):
    """Every driver that keeps files."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["jfrog", "directory", "package-index"], ids=["artifactory", "directory", "package-index"])
def filled(request):
    """Every driver there is, with two files of `shop`; returns (driver, their paths, the newest first)."""
    if request.param != "package-index":
        driver, paths = request.getfixturevalue(request.param), ["shop/1.10.tar.gz", "shop/1.9.tar.gz"]
        for path in reversed(paths):
            publish(driver, path, path.encode())
        return driver, paths
    packages, index = request.getfixturevalue("packages"), request.getfixturevalue("index")
    for version in ("1.9", "1.10"):
        wheel(packages, "shop", version)
    paths = [f"shop/shop-{version}-py3-none-any.whl" for version in ("1.10", "1.9")]
    return foreign.drivers()["package-index"](foreign.Access("kept", index.url, {}, {}, "package-index")), paths


def publish(driver, path=PATH, content=CONTENT, properties=None, digests=None):
    return driver.publish(path, io.BytesIO(content), Digests(**(digests or digests_of(content))), properties)


def test_versions_are_listed_newest_first(filled):
    driver, paths = filled
    assert [found.path for found in driver.versions("shop")] == paths
    assert driver.versions("nothing") == []


def test_a_version_is_fetched_as_its_digest_has_it(filled):
    driver, paths = filled
    for found in driver.versions("shop"):
        file = io.BytesIO()
        got = driver.fetch(found.path, file, found.sha256)
        assert got.sha256 == found.sha256 == hashlib.sha256(file.getvalue()).hexdigest()
        assert got.size == len(file.getvalue())
    with pytest.raises(ForeignError) as failed:
        driver.fetch(paths[0], io.BytesIO(), "0" * 64)
    assert failed.value.kind == errors.BAD_ANSWER and "'kept'" in failed.value.detail


def test_a_version_that_is_not_there_is_reported(filled):
    driver, paths = filled
    with pytest.raises(ForeignError) as failed:
        driver.fetch(paths[0].replace("1.10", "2.0"), io.BytesIO())
    assert failed.value.kind == errors.NOT_FOUND and "'kept'" in failed.value.detail
    assert driver.prove().describe()["ok"]


def test_what_is_published_comes_back(driver):
    made = publish(driver, properties={"windlass.release": "v1"})
    assert (made.path, made.size, made.sha256) == (PATH, len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    file = io.BytesIO()
    assert driver.fetch(PATH, file, made.sha256).sha256 == made.sha256 and file.getvalue() == CONTENT
    with pytest.raises(ForeignError) as failed:
        driver.fetch(PATH, io.BytesIO(), "0" * 64)
    assert failed.value.kind == errors.BAD_ANSWER
    assert driver.prove().describe()["ok"]


def test_a_folder_that_is_away_is_waited_for_and_not_made_anew(settings, tmp_path):
    settings.artifacts.local_paths = [str(tmp_path)]
    access = foreign.Access("kept", None, {"folder": str(tmp_path / "kept")}, {}, "directory")
    driver = foreign.drivers()["directory"](access)
    for ask in (lambda: publish(driver), lambda: driver.promote(PATH, {}), lambda: driver.fetch(PATH, io.BytesIO())):
        with pytest.raises(ForeignError, match=r"'kept' cannot find its folder .* look whether it is mounted") as failed:
            ask()
        assert failed.value.kind == errors.UNAVAILABLE and failed.value.may_pass
    assert not (tmp_path / "kept").exists()
    (tmp_path / "kept").mkdir()
    publish(driver)
    with pytest.raises(ForeignError, match=r"has no file .*gone: put it back, or build the release again") as failed:
        driver.promote("gone", {})
    assert failed.value.kind == errors.NOT_FOUND


def test_the_very_same_again_changes_nothing_and_another_is_refused(driver):
    made = publish(driver, properties={"x": "1"})
    assert publish(driver, properties={"y": "2"}) == made
    assert driver.properties(PATH) == {"x": "1", "y": "2"}
    with pytest.raises(ForeignError) as failed:
        publish(driver, content=b"other")
    assert failed.value.kind == errors.CONFLICT and not failed.value.may_pass
    driver.fetch(PATH, io.BytesIO(), made.sha256)


def test_properties_hold_any_characters(driver):
    publish(driver)
    assert driver.properties(PATH) == {}
    driver.promote(PATH, ODD)
    driver.promote(PATH, {"z": "1"})
    assert driver.properties(PATH) == {**ODD, "z": "1"}


def test_files_are_listed_newest_first_whatever_is_promoted_later(driver):
    for number in range(5):
        publish(driver, f"shop/deep/{number}.tar.gz", b"%d" % number)
    publish(driver, "other/x.tar.gz", b"x")
    driver.promote("shop/deep/0.tar.gz", {"x": "1"})
    assert [found.path for found in driver.versions("shop")] == [f"shop/deep/{number}.tar.gz" for number in (4, 3, 2, 1, 0)]
    assert driver.versions("nothing") == []


def test_what_is_not_there_is_reported(driver):
    for ask in (
        lambda: driver.fetch(PATH, io.BytesIO()),
        lambda: driver.properties(PATH),
        lambda: driver.promote(PATH, {"x": "1"}),
    ):
        with pytest.raises(ForeignError) as failed:
            ask()
        assert failed.value.kind == errors.NOT_FOUND


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x"])
def test_a_path_that_leads_elsewhere_is_refused(driver, path):
    with pytest.raises(ForeignError, match="cannot keep a file"):
        publish(driver, path)


# Artifactory.


def test_what_it_has_anywhere_is_not_sent(artifactory, jfrog):
    artifactory.add("elsewhere/x", CONTENT)
    publish(jfrog, properties=ODD)
    assert [request.body for request in artifactory.asked("^PUT")] == [b""]
    assert jfrog.properties(PATH) == ODD


def test_what_it_does_not_know_is_sent_whole(artifactory, jfrog):
    publish(jfrog)
    assert [request.body for request in artifactory.asked("^PUT")] == [b"", CONTENT]


def test_a_wrong_digest_is_a_conflict(artifactory, jfrog):
    with pytest.raises(ForeignError, match="Checksum error") as failed:
        publish(jfrog, digests=digests_of(b"other"))
    assert failed.value.kind == errors.CONFLICT and artifactory.files == {}


def test_a_lost_answer_is_looked_up_by_the_next_attempt(artifactory, jfrog):
    artifactory.fault("lost", on="^PUT .*shop-v1", times=2)  # The second is the one with the content.
    for _ in range(2):
        with pytest.raises(ForeignError) as failed:
            publish(jfrog)
        assert failed.value.may_pass
        if artifactory.files:
            break
        artifactory.blobs.append(CONTENT)
    sent = len(artifactory.asked("^PUT"))
    assert publish(jfrog).sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert len(artifactory.asked("^PUT")) == sent


def test_a_search_that_is_trimmed_is_gone_on_with(artifactory, jfrog):
    artifactory.hard_limit = 2
    for number in range(5):
        artifactory.add(f"releases/shop/{number}", b"%d" % number)
    assert len(jfrog.versions("shop")) == 5


def test_storage_is_not_given_the_credentials(artifactory, jfrog):
    made = publish(jfrog)
    with Storage() as artifactory.storage:
        jfrog.fetch(PATH, io.BytesIO(), made.sha256)
        assert artifactory.storage.requests[0].login is None


# Package indexes.


def test_versions_of_a_package_are_found_in_a_real_index(packages, index):
    for version in ("1.9", "1.10"):
        wheel(packages, "server", version)
    driver = foreign.drivers()["package-index"](foreign.Access("pypi", index.url, {}, {}, "package-index"))
    names = [f"server/server-{version}-py3-none-any.whl" for version in ("1.10", "1.9")]
    found = driver.versions("Server")
    assert [item.path for item in found] == names
    file = io.BytesIO()
    assert driver.fetch(names[1], file).sha256 == hashlib.sha256(file.getvalue()).hexdigest()
    assert driver.versions("nothing") == [] and driver.prove().describe()["ok"]


WHEEL = '<a href="../../files/server-1.0-py3-none-any.whl#sha256=%s">server-1.0</a>' % ("a" * 64)
META = '<meta name="pypi:repository-version" content="1.0">'
PEP_691 = "application/vnd.pypi.simple.v1+"


class Pages(StandIn):
    """An index that answers with one page, whatever it is asked for."""

    def shows(self, page, kind="text/html; charset=utf-8"):
        """Answer so from now on; returns the driver."""
        self.page, self.kind = page, kind
        return foreign.drivers()["package-index"](foreign.Access("pypi", f"{self.url}/simple", {}, {}, "package-index"))

    @route("GET", "/simple/.+")
    def answer(self, request):
        return Reply(self.page.encode(), kind=self.kind)

    @route("GET", "/moved/(?P<rest>.+)")
    def log_in(self, request, rest):
        return Reply(LOGIN_PAGE, kind="text/html")


@pytest.fixture
def pages():
    with Pages() as standin:
        yield standin


@pytest.mark.parametrize(
    "page, kind",
    [
        (f"<!DOCTYPE html><html><head>{META}</head><body>{WHEEL}</body></html>", "text/html"),
        (f"<html><body><h1>Links for server</h1>{WHEEL}<br/></body></html>", "text/html; charset=utf-8"),
        (f'{WHEEL}<form action="." method="post"><input type="submit" name="refresh"></form>', "text/html"),
        (WHEEL, f"{PEP_691}html"),
        ('{"files": [{"url": "../../files/s", "filename": "server-1.0.tar.gz", "hashes": {}}]}', f"{PEP_691}json"),
    ],
)
def test_a_page_of_a_package_is_read_in_every_format(pages, page, kind):
    driver = pages.shows(page, kind)
    assert [item.path.startswith("server/server-1.0") for item in driver.versions("server")] == [True]
    assert driver.prove().describe()["ok"]
    assert PEP_691 + "json" in pages.asked("^GET")[0].headers["Accept"]


@pytest.mark.parametrize(
    "page, kind",
    [
        (f"<html><head>{META}</head><body><h1>Links for server</h1></body></html>", "text/html"),
        ("<html><body></body></html>", f"{PEP_691}html"),
        ('{"files": []}', f"{PEP_691}json"),
    ],
)
def test_a_package_without_files_is_none_to_install(pages, page, kind):
    assert pages.shows(page, kind).versions("server") == []


LOG_INS = {
    "password": '<html><form><input name="user"><input type="PASSWORD"></form><a href="/docs/">Help</a></html>',
    "password beside a file": f'{WHEEL}<form><input type="password"></form>',
    "form": '<form method="post" action="/saml"><input type="hidden" name="SAMLRequest"></form>',
    "script": '<html><head><script src="/app.js"></script></head><div id="root"></div></html>',
    "links elsewhere": '<a href="/login?next=/simple/server/server-1.0.tar.gz">Log in</a><a href="/pip-guide">Help</a>',
    "empty": "",
}


@pytest.mark.parametrize("page", LOG_INS.values(), ids=LOG_INS)
def test_a_page_to_log_in_is_no_package_without_files(pages, page):
    assert_no_index(pages.shows(page))


def test_being_sent_to_a_page_to_log_in_is_reported_too(pages):
    pages.fault("redirect", on="/simple/", to="/moved/login")
    assert_no_index(pages.shows(WHEEL))


@pytest.mark.parametrize("page", ['{"files": null}', '{"files": ["x"]}', '{"message": "log in"}'])
def test_json_that_is_no_page_of_a_package_is_reported(pages, page):
    driver = pages.shows(page, "application/json")
    with pytest.raises(ForeignError, match=r"'pypi'.*files") as failed:
        driver.versions("server")
    assert failed.value.kind == errors.BAD_ANSWER


def assert_no_index(driver):
    """Hold a driver to telling that what answers is no index, in its test as well."""
    with pytest.raises(ForeignError, match=r"'pypi'.*perhaps a page to log in.*Check its URL") as failed:
        driver.versions("server")
    assert (failed.value.kind, failed.value.system) == (errors.BAD_ANSWER, "pypi")
    proof = driver.prove().describe()
    assert not proof["ok"] and "'pypi'" in proof["checks"][0]["message"]
