"""Drift on real hosts: what was changed by hand is shown, a deploy of the same release puts it right, and that is seen."""

import json
import os
import sqlite3

import pytest

from tests.deploying import applications

HOSTS = 1
SECRET = "hunter2-hunter2-hunter2"


@pytest.fixture
def deployed(stack, hosts, name, repository):
    """The application at its first release; returns its name."""
    stack.set_target(hosts, name, server_names=[f"{name}.example.com"])
    variables = {"PASSWORD": {"value": SECRET, "secret": True}}
    stack.call("PATCH", f"/applications/{name}/targets/production/variables", {"variables": variables})
    worker = "import time\nwhile True: time.sleep(60)\n"
    repository.commit({**applications.plain("one", processes={"worker": "python worker.py"}), "worker.py": worker})
    stack.deploy(stack.release(name)["version"], name)
    return name


def look(stack, host, name, **fields):
    """Look at a host now; returns the application's placement there."""
    seen = stack.call("POST", f"/hosts/{host.name}/observe", fields)
    return next(placed for placed in seen["placements"] if placed["application"] == name)


def status(stack, name):
    return stack.call("GET", f"/status?application={name}")["items"][0]


def drift_events(stack, name):
    """Return what the histories tell of an application's drift: [(data, text)]."""
    rows = sqlite3.connect(stack.data / "windlass.db")
    found = rows.execute("SELECT data, text FROM event WHERE kind = 'drift' ORDER BY id").fetchall()
    rows.close()
    return [(json.loads(data), text) for data, text in found if json.loads(data)["application"] == name]


def base(host, name):
    return host.root / name


def edit_site(host, name):
    site = host.folder / "nginx" / "sites" / f"windlass-{name}.conf"
    site.write_text(site.read_text().replace("client_max_body_size 100m;", f"client_max_body_size 7m; # {SECRET}"))


def edit_program(host, name):
    slot = os.readlink(base(host, name) / "run" / "current.sock")[0]
    program = host.folder / "supervisor" / "programs" / f"windlass-{name}-{slot}.conf"
    program.write_text(program.read_text().replace("startretries=2", "startretries=9"))


def delete_file(host, name):
    folder = (base(host, name) / "current").resolve()
    folder.chmod(0o755)
    (folder / "server.py").unlink()


def damage_file(host, name):
    """Change a file so that only somebody who reads it can tell."""
    file = (base(host, name) / "current").resolve() / "server.py"
    file.chmod(0o644)
    file.write_text(file.read_text().replace("daemon_threads = True", "daemon_threads = 1+0 "))
    file.chmod(0o444)


def stop(process):
    def stop_it(host, name):
        slot = os.readlink(base(host, name) / "run" / "current.sock")[0]
        host.supervisorctl("stop", f"{name}-{slot}:{name}-{slot}-{process}")

    return stop_it


def change_current(host, name):
    link = base(host, name) / "current"
    link.unlink()
    link.symlink_to("releases/" + "0" * 64)


CASES = {
    "nginx": (edit_site, "nginx", "nginx's site was edited", "+    client_max_body_size 7m;"),
    "supervisord": (edit_program, "supervisord", "supervisord's program file was edited", "+startretries=9"),
    "deleted-file": (delete_file, "files", "server.py of the release is missing", None),
    "damaged-file": (damage_file, "files", "server.py of the release is missing or is not what was shipped", None),
    "web": (stop("web"), "processes", "web is STOPPED", None),
    "worker": (stop("worker"), "processes", "worker is STOPPED", None),
    "current": (change_current, "release", "the link `current` leads to releases/000", "+releases/000"),
}


@pytest.mark.timeout(240)
def test_each_change_by_hand_is_shown_and_a_deploy_of_the_same_release_puts_it_right(stack, hosts, deployed, cli):
    host = hosts[0]
    assert look(stack, host, deployed)["drift"] == []
    for case, (change, kind, detail, diff) in CASES.items():
        change(host, deployed)

        placed = look(stack, host, deployed)
        assert [item["kind"] for item in placed["drift"]] == [kind], (case, placed)
        item = placed["drift"][0]
        assert detail in item["message"], case
        assert diff is None or diff in item["diff"].splitlines() or diff in item["diff"], (case, item)
        assert SECRET not in str(placed), case
        assert placed["drifted_since"] and placed["recorded"] == "v1"
        shown = status(stack, deployed)
        assert shown["drift"] and shown["drift_count"] == 1 and detail in shown["drift_detail"], (case, shown)
        metric = f'windlass_drifted_hosts{{application="{deployed}",environment="production"}} 1.0'
        assert metric in stack.request("GET", "/metrics").text, case
        again = look(stack, host, deployed, verify=False)
        assert (again["drift"], again["drifted_since"]) == (placed["drift"], placed["drifted_since"]), case

        deploy = stack.deploy("v1", deployed)
        assert stack.host_runs(deploy)[host.name]["state"] == "succeeded", (case, "unchanged would be untrue")
        shown = status(stack, deployed)
        assert (shown["drift"], shown["drift_count"], shown["health"]) == (False, 0, "healthy"), (case, shown)
        placed = look(stack, host, deployed)
        assert (placed["drift"], placed["drifted_since"]) == ([], None), (case, placed)
        assert host.get("/", f"{deployed}.example.com") == (200, "one"), case
        assert stack.host_runs(stack.deploy("v1", deployed))[host.name]["state"] == "unchanged", case
    found = drift_events(stack, deployed)
    assert [data["drifted"] for data, _ in found] == [True, False] * len(CASES), "told once, however often it is seen"
    where = f"{deployed} in production on {host.name}"
    assert found[0][1] == f"{where} has drifted: nginx's site was edited"
    assert found[1][1] == f"{where} is as it was deployed again"
    assert f"{where} has drifted" in (stack.data / "log" / "worker.log").read_text()
