"""Static files and page shells as a browser, a cache and an attacker see them."""

import re

import pytest
from bottle import Bottle
from werkzeug.test import Client

import routes
from api.envelope import Envelope
from routes import assets


@pytest.fixture(autouse=True)
def configured(settings):
    """The settings, which say what the envelope is."""


@pytest.fixture(scope="module")
def site():
    """A client of the pages alone, in the envelope that all answers have."""
    app = Bottle()
    routes.mount(app)
    return Client(Envelope(app))


def versioned(site):
    """Return an address of a script as the pages name it."""
    return re.search(r'src="(/static/v-[0-9a-f]+/js/pages/overview\.js)"', site.get("/").text)[1]


def test_versioned_files_may_be_kept_for_ever(site):
    answer = site.get(versioned(site))
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Content-Type"] == "text/javascript; charset=UTF-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_file_under_an_old_version_is_asked_for_again(site):
    answer = site.get("/static/v-0123456789ab/js/pages/overview.js")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-cache"


def test_known_content_is_not_sent_again(site):
    etag = site.get("/static/js/api/client.js").headers["ETag"]
    again = site.get("/static/js/api/client.js", headers={"If-None-Match": f'"other", W/{etag}'})
    assert (again.status_code, again.data) == (304, b"")
    assert site.get("/static/js/api/client.js", headers={"If-None-Match": '"other"'}).status_code == 200


def test_version_changes_with_any_file(tmp_path):
    (tmp_path / "js").mkdir()
    (tmp_path / "js" / "a.js").write_text("one")
    before = assets.version_of(assets.collect(tmp_path))
    (tmp_path / "js" / "a.js").write_text("two")
    assert assets.version_of(assets.collect(tmp_path)) != before


@pytest.mark.parametrize(
    "path",
    [
        "package.json",
        "package-lock.json",
        "vendor/.stamp",
        "vendor/axe.js.for-tests",
        "../app.py",
        "js/../../app.py",
        "%2e%2e/app.py",
        "js/%2e%2e/%2e%2e/app.py",
        "//etc/passwd",
        "js",
        "js/",
        "js/api/client.js%00.css",
    ],
)
def test_nothing_but_the_dashboards_files_is_served(site, path):
    assert site.get(f"/static/{path}").status_code == 404


def test_pages_allow_no_inline_code_no_eval_and_no_other_server(site):
    policy = site.get("/").headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy and "script-src 'self';" in policy and "frame-ancestors 'none'" in policy


def test_pages_hold_no_inline_code_and_name_no_other_server(site):
    for path in ("/", "/sign-in", "/applications/shop", "/deploys", "/deploys/1", "/hosts", "/hosts/web1", "/nowhere"):
        html = site.get(path).text
        assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=", html), path
        assert not re.search(r'(?:src|href)="(?:https?:)?//', html), path


def test_names_from_the_address_are_escaped(site):
    answer = site.get("/hosts/%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    assert answer.status_code == 404  # The slash in it makes it another address.
    answer = site.get("/hosts/%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E")
    assert answer.status_code == 200
    assert "<img src=x" not in answer.text
    assert "&lt;img src=x onerror=alert(1)&gt;" in answer.text


def test_unknown_page_is_404_in_html_and_leaves_the_api_alone(site):
    answer = site.get("/deploys/not-a-number")
    assert answer.status_code == 404
    assert "There is no page at this address." in answer.text
    assert "There is no page" not in site.get("/api/v1/nothing").text


def test_icon_is_found_where_browsers_look(site):
    assert site.get("/favicon.ico").headers["Content-Type"] == "image/svg+xml"
