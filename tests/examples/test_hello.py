"""The sample application: it runs, and it is what Windlass takes."""

import importlib.util
import json
from pathlib import Path

import pytest
from werkzeug.test import Client

import procfile
from controllers.releases.dependencies import requirements

HELLO = Path(__file__).resolve().parents[2] / "examples" / "hello"


@pytest.fixture
def client(monkeypatch):
    """A client of the application."""
    monkeypatch.setenv("WINDLASS_RELEASE", "<v7>")
    monkeypatch.setenv("WINDLASS_SLOT", "a")
    specification = importlib.util.spec_from_file_location("hello", HELLO / "hello.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return Client(module.application)


def test_the_page_tells_what_is_served(client):
    page = client.get("/")
    assert page.status_code == 200 and page.mimetype == "text/html"
    text = page.get_data(as_text=True)
    assert "1.0" in text and "&lt;v7&gt;" in text and "<v7>" not in text and "{{" not in text


def test_programs_are_answered_too(client):
    assert client.get("/version").get_data(as_text=True) == "1.0\n"
    health = client.get("/healthz")
    assert health.json["status"] == "ok" and health.json["release"] == "<v7>"
    assert client.get("/nothing").status_code == 404
    assert client.post("/").status_code == 405


def test_a_variable_changes_the_greeting(client, monkeypatch):
    monkeypatch.setenv("HELLO_GREETING", "Hi & welcome")
    assert "Hi &amp; welcome" in client.get("/").get_data(as_text=True)


def test_windlass_takes_it():
    processes = procfile.parse_procfile((HELLO / "Procfile").read_text())
    assert procfile.binding_of(processes["web"]) == "port", "it must be reachable where there is no nginx"
    assert procfile.shell_line(processes["web"]).startswith("exec gunicorn ")
    description = procfile.parse_windlass_json((HELLO / "windlass.json").read_text())
    assert description["health"]["path"] == "/healthz"
    locked = requirements.read("requirements.txt", {"requirements.txt": (HELLO / "requirements.txt").read_text()}.get)
    requirements.check_pins(locked)
    assert json.dumps([item.name for item in locked.items]) == '["gunicorn"]'
