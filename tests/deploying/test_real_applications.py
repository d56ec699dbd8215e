"""Applications that nobody here wrote, from the package index and from their own source, deployed as they are."""

import subprocess
import sys
import tarfile

import pytest
import requests

from devkit import places
from tests.stack import Repository


@pytest.fixture(autouse=True)
def needs_the_package_index(stack):
    """Skip where the index that uv is set up for cannot be reached."""
    probe = [str(places.ENV / "bin" / "uv"), "pip", "compile", "--quiet", "--no-header", "-"]
    if subprocess.run(probe, input="six", text=True, capture_output=True).returncode:
        pytest.skip("needs: a package index")


def get(host, name, path="/"):
    return requests.get(host.url + path, headers={"Host": f"{name}.example.com"}, timeout=20)


def test_httpbin_from_the_package_index(stack, hosts, name):
    source = {"package": "httpbin[mainapp]", "requirements": ["gunicorn"]}
    stack.call(
        "POST",
        "/applications",
        {"name": name, "source": source, "processes": {"web": "gunicorn httpbin:app --bind unix:$SOCKET --workers 1"}},
    )
    stack.set_target(
        hosts,
        name,
        server_names=[f"{name}.example.com"],
        health={"path": "/status/200", "timeout_s": 40, "expect_status": 200},
    )
    release = stack.release(name, package_version="0.10.2")
    stack.deploy(release["version"], name)
    answer = get(hosts[0], name, "/get?deployed=by-windlass")
    assert answer.json()["args"] == {"deployed": "by-windlass"}
    assert get(hosts[0], name, "/status/418").status_code == 418
    assert stack.host_runs(stack.deploy(release["version"], name))[hosts[0].name]["state"] == "unchanged"


def test_datasette_an_asgi_application(stack, hosts, name):
    stack.call(
        "POST",
        "/applications",
        {
            "name": name,
            "source": {"package": "datasette", "requirements": ["setuptools<81"]},
            "processes": {"web": "datasette serve --memory --uds $SOCKET"},
        },
    )
    stack.set_target(
        hosts,
        name,
        server_names=[f"{name}.example.com"],
        health={"path": "/-/versions.json", "timeout_s": 60, "expect_status": 200},
    )
    stack.deploy(stack.release(name, package_version="0.65.1")["version"], name)
    assert get(hosts[0], name, "/-/versions.json").json()["datasette"]["version"] == "0.65.1"
    rows = get(hosts[0], name, "/_memory.json?sql=select+6*7+as+answer&_shape=array")
    assert rows.json() == [{"answer": 42}]


def test_the_flask_tutorial_from_its_own_source(stack, hosts, name, tmp_path):
    source = unpacked(tmp_path, "flask==3.1.2") / "examples" / "tutorial"
    repository = Repository(stack.repositories / name)
    files = {path.relative_to(source).as_posix(): path.read_text() for path in (source / "flaskr").rglob("*") if path.is_file()}
    repository.commit(
        {
            **files,
            "requirements.txt": "flask==3.1.2\ngunicorn==23.0.0\n",
            "Procfile": "web: gunicorn 'flaskr:create_app()' --bind unix:$SOCKET --workers 1\n",
        }
    )
    stack.add_application(repository, name)
    stack.set_target(
        hosts,
        name,
        server_names=[f"{name}.example.com"],
        health={"path": "/hello", "timeout_s": 40, "expect_status": 200},
    )
    stack.deploy(stack.release(name)["version"], name)
    assert get(hosts[0], name, "/hello").text == "Hello, World!"
    assert "<title>Register - Flaskr</title>" in get(hosts[0], name, "/auth/register").text.replace("\n", "")
    assert get(hosts[0], name, "/static/style.css").status_code == 200


def unpacked(folder, requirement):
    """Return the unpacked source distribution of a package."""
    argv = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary",
        ":all:",
        "--dest",
        str(folder),
        requirement,
    ]
    subprocess.run(argv, check=True, capture_output=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())
