"""Things in the API's shapes, as the stand-ins for it answer with them; times lie some seconds before now."""

from datetime import UTC, datetime, timedelta

STEPS = ("connect", "preflight", "ship", "environment", "configure", "start", "check", "switch", "drain", "clean")
ALL_AT_ONCE = {
    "kind": "all-at-once",
    "max_failures": 0,
    "pause_s": 0,
    "bake_s": 0,
    "healthy_first": False,
    "on_failure": "rollback",
}


def at(seconds_ago=0.0):
    """Return a time some seconds before now, as the API writes times."""
    moment = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def application(name="shop", **changes):
    """Return an application."""
    source = {"repository": f"https://git.example.net/team/{name}.git", "branch": "main"}
    return {
        "name": name,
        "source": source,
        "build": None,
        "artifacts": None,
        "tracker": None,
        "team": None,
        "processes": {},
        "created_at": at(900),
        "updated_at": at(900),
        **changes,
    }


def release(version="v12", state="ready", **changes):
    """Return a release."""
    return {
        "application": "shop",
        "version": version,
        "number": int(version.removeprefix("v")),
        "ref": "main",
        "commit": "4f1c2d3e5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c0d",
        "digest": "ab" * 32,
        "lock_digest": "cd" * 32,
        "lock_kind": "requirements",
        "python_version": "3.11",
        "processes": {"web": "gunicorn shop:app"},
        "settings": {},
        "state": state,
        "size_bytes": 2_400_000,
        "package_version": None,
        "build": None,
        "bundle": None,
        "requested_by": "admin",
        "cancel_requested_by": None,
        "created_at": at(600),
        "ended_at": None if state == "building" else at(590),
        "error": None,
        **changes,
    }


def release_in_full(release):
    """Return a release (as in lists) as it is shown alone."""
    return {**release, "dependencies": {"flask": "3.1.0"}, "environments": [], "latched": []}


def environment(name, position, **changes):
    """Return an environment."""
    kept = {"approvals": 0, "promote_from": None, "created_at": at(900), "updated_at": at(900)}
    return {"name": name, "position": position, **kept, **changes}


def zone(name="default"):
    """Return a zone whose key pair has been made."""
    key = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIwindlass windlass zone {name}"
    return {"name": name, "public_key": key, "created_at": at(900), "updated_at": at(900)}


def shown_key():
    """Return the key that a host shows, of which none is pinned."""
    return {"host_key": "ssh-ed25519 AAAAseen", "fingerprint": "SHA256:" + "s" * 43, "pinned": None}


def lock(holder="admin", reason="a migration", **changes):
    """Return a lock."""
    return {"holder": holder, "reason": reason, "created_at": at(60), "expires_at": None, **changes}


def deploy(number=41, state="succeeded", **changes):
    """Return a deploy."""
    ended = None if state in ("queued", "running") else at(110)
    return {
        "id": number,
        "application": "shop",
        "release": "v12",
        "environment": "production",
        "state": state,
        "strategy": ALL_AT_ONCE,
        "plan": None,
        "progress": progress(2, 2 if ended else 0),
        "requested_by": "admin",
        "comment": None,
        "created_at": at(130),
        "started_at": at(129),
        "ended_at": ended,
        "reason": None,
        "previous_release": "v11",
        "rollback_of": None,
        "cancel_requested_by": None,
        "warnings": [],
        "start_at": None,
        "override": None,
        "approvals": {"needed": 0, "given": []},
        **changes,
    }


def progress(total, done=0, failed=0):
    """Return how many hosts of a deploy there are, have ended and have failed."""
    return {"total": total, "done": done, "failed": failed, "switched": done - failed}


def plan(number=9, **changes):
    """Return a plan that is ready."""
    return {
        "id": number,
        "application": "shop",
        "release": "v12",
        "environment": "production",
        "state": "ready",
        "strategy": ALL_AT_ONCE,
        "digest": "d" * 64,
        "unchanged": False,
        "maintenance": None,
        "hosts": [planned_host()],
        "skipped": [],
        "errors": [],
        "requested_by": "admin",
        "created_at": at(140),
        "made_by_deploy": None,
        **changes,
    }


def changelog(**changes):
    """Return what a deploy brings."""
    return {
        "deploy": 42,
        "from": "v11",
        "to": "v12",
        "state": "ready",
        "is_going_back": False,
        "commits": [{"commit": "c" * 40, "author": "Ann", "at": at(200), "subject": "SHOP-1: sell tea"}],
        "authors": ["Ann"],
        "issues": [{"key": "SHOP-1", "title": "Tea", "state": "Done", "url": "https://jira.example.net/browse/SHOP-1"}],
        "pull_requests": [{"number": 7, "title": "Tea", "url": "javascript:alert(1)", "author": "ann"}],
        "notes": [],
        **changes,
    }


def delivery(number=1, **changes):
    """Return one thing that was said to another system."""
    return {
        "id": number,
        "deploy": 42,
        "application": "shop",
        "release": "v12",
        "environment": "production",
        "integration": "chat",
        "action": "message",
        "subject": None,
        "state": "failed",
        "attempts": 3,
        "error": "The integration 'chat' is out of order (HTTP 503).",
        "answer": None,
        "due_at": None,
        "created_at": at(100),
        "ended_at": at(90),
        **changes,
    }


def command(number=7, state="succeeded", **changes):
    """Return a one-off command with its hosts."""
    is_over = state != "running"
    run = {
        "state": "succeeded" if is_over else "running",
        "exit_code": 0 if is_over else None,
        "message": None,
        "started_at": at(20),
        "ended_at": at(18) if is_over else None,
    }
    return {
        "id": number,
        "argv": ["df", "-h", "/"],
        "application": None,
        "environment": None,
        "time_limit_s": 60,
        "state": state,
        "progress": {"total": 2, "done": 2 if is_over else 0, "failed": 0},
        "requested_by": "admin",
        "cancel_requested_by": None,
        "created_at": at(21),
        "ended_at": at(18) if is_over else None,
        **changes,
        "hosts": [{"host": name, **run} for name in ("web1", "web2")],
    }


def without_hosts(command):
    """Return a command as it stands in lists."""
    return {name: value for name, value in command.items() if name != "hosts"}


def freeze(name="holidays", **changes):
    """Return a freeze."""
    return {
        "name": name,
        "reason": "nobody is here",
        "starts_at": None,
        "ends_at": None,
        "weekly": None,
        "applications": None,
        "environments": None,
        "active": True,
        "active_until": None,
        "created_by": "admin",
        "created_at": at(900),
        "updated_at": at(900),
        **changes,
    }


def planned_host(name="web1", **changes):
    """Return what a plan tells of a host."""
    return {
        "host": name,
        "current_release": "v11",
        "new_release": "v12",
        "unchanged": False,
        "repairs": [],
        "files": {
            "added": [],
            "changed": [{"path": "app.py", "size": 120}],
            "removed": [],
            "counts": {"added": 0, "changed": 1, "removed": 0},
        },
        "packages": {"added": [{"name": "six", "version": "1.17.0"}], "removed": [], "upgraded": []},
        "configuration": [{"file": "windlass-shop.conf", "diff": "-    listen 8080;\n+    listen 8081;\n"}],
        "variables": {"added": [], "changed": [], "removed": []},
        "processes": {"start": [{"name": "web", "slot": "b"}], "stop": []},
        "bytes_to_send": 1500,
        "digest": "d" * 64,
        **changes,
    }


def brief(full):
    """Return what /status tells of a deploy."""
    return {
        name: full[name] for name in ("id", "release", "state", "requested_by", "reason", "created_at", "started_at", "ended_at")
    }


def status(application="shop", environment="production", **changes):
    """Return a target's status."""
    return {
        "application": application,
        "environment": environment,
        "desired": "v12",
        "observed": "v12",
        "state": "succeeded",
        "health": "healthy",
        "lock": None,
        "maintenance": None,
        "drift": False,
        "drift_detail": None,
        "drift_count": 0,
        "stale": False,
        "unreachable": [],
        "previous_release": "v11",
        "url": "http://shop.example.com",
        "observed_at": at(20),
        "deploy": brief(deploy()),
        "hosts": [host_status("web1"), host_status("web2")],
        **changes,
    }


def host_status(host, release="v12", healthy=True):
    """Return what was last seen of an application on a host."""
    return {
        "host": host,
        "release": release,
        "reachable": True,
        "in_service": True,
        "stale": False,
        "drift": [],
        "drifted_since": None,
        "healthy": healthy,
        "observed_at": at(20),
        "url": None,
    }


def host_run(host="web1", state="succeeded", done=10, **changes):
    """Return a host run whose first `done` steps are done; the next one runs while the run does."""
    steps = [
        step(name, "done" if place < done else "running" if place == done and state == "running" else "pending")
        for place, name in enumerate(STEPS)
    ]
    return {
        "host": host,
        "state": state,
        "goal": "deploy",
        "wave": 0,
        "attempt": 1,
        "message": None,
        "code": None,
        "bytes_sent": 1_250_000,
        "started_at": at(128),
        "ended_at": None if state == "running" else at(115),
        "steps": steps,
        **changes,
    }


def step(name, state="done", message=None):
    """Return one step of a host run."""
    return {
        "name": name,
        "state": state,
        "started_at": at(125) if state != "pending" else None,
        "ended_at": at(124) if state in ("done", "failed") else None,
        "message": message,
    }


def host(name="web1", state="ready", **changes):
    """Return a host."""
    settings = {
        "python": "python3",
        "nginx": {"sites": "/etc/nginx/conf.d", "command": ["nginx"], "listen": "80"},
        "supervisor": {
            "kind": "supervisord",
            "programs": "/etc/supervisor/conf.d",
            "command": ["supervisorctl"],
        },
    }
    facts = {
        "python": "3.11.2",
        "hostname": name,
        "distribution": "Debian GNU/Linux 12",
        "system": "linux",
        "machine": "x86_64",
        "libc": ["glibc", "2.36"],
        "user": "deploy",
        "cpus": 4,
        "memory_bytes": 8_200_000_000,
        "disk_free_bytes": 41_000_000_000,
        "inodes_free": 2_400_000,
        "pythons": {"3.11": "/usr/bin/python3.11"},
        "supervisor": {"reachable": True, "version": "4.2.5", "is_root": True},
        "nginx": {"version": "1.22.1"},
    }
    return {
        "name": name,
        "address": "10.0.0.11",
        "port": 22,
        "user": "deploy",
        "zone": "default",
        "tags": ["web"],
        "transport": "ssh",
        "root": "/srv/windlass",
        "settings": settings,
        "state": state,
        "host_key": "ssh-ed25519 AAAA",
        "host_key_fingerprint": "SHA256:" + "k" * 43,
        "maintenance_reason": None,
        "facts": facts,
        "problems": [],
        "observed_at": at(30),
        "placements": [],
        "created_at": at(900),
        "updated_at": at(900),
        **changes,
    }


def new_host(name="web3", **changes):
    """Return a host that nobody has looked at yet."""
    unknown = dict.fromkeys(("host_key", "host_key_fingerprint", "facts", "observed_at"))
    return host(name, "new", **{**unknown, **changes})


def target(environment="production", **changes):
    """Return a target."""
    return {
        "application": "shop",
        "environment": environment,
        "hosts": ["web1", "web2"],
        "resolved_hosts": ["web1", "web2"],
        "strategy": ALL_AT_ONCE,
        "health": {"path": "/health", "timeout_s": 30, "expect_status": 200},
        "processes": {},
        "server_names": ["shop.example.com"],
        "rules": [],
        "configure": [],
        "drain_s": 45,
        "keep_warm": True,
        "latched": [],
        "created_at": at(800),
        "updated_at": at(800),
        **changes,
    }


def output(text, host="web1", step="ship"):
    """Return an event of output, without its number and time."""
    return {"kind": "output", "host": host, "step": step, "text": text}


def step_event(name, state, host="web1", text=None):
    """Return an event of a step, without its number and time."""
    event = {"kind": "step", "host": host, "step": name, "data": {"state": state}}
    return {**event, "text": text} if text else event


def host_event(state, host="web1", text=None):
    """Return an event of a host run, without its number and time."""
    event = {"kind": "host", "host": host, "data": {"state": state, "wave": 0, "attempt": 1}}
    return {**event, "text": text} if text else event


def deploy_event(state, text=None):
    """Return an event of a whole deploy, without its number and time."""
    event = {"kind": "deploy", "data": {"state": state}}
    return {**event, "text": text} if text else event


def drivers():
    """Return two drivers: one with credentials of two kinds, one with settings of every sort."""
    text = {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}
    stash = {
        "name": "bitbucket-server",
        "role": "source",
        "summary": "Bitbucket Server.",
        "default_url": None,
        "settings": {"properties": {"ca": text}},
        "credentials": {},
        "credential_kinds": [
            {"name": "token", "fields": ["token"]},
            {"name": "basic", "fields": ["username", "password"]},
        ],
        "needs_credentials": False,
        "takes_hooks": True,
    }
    properties = {
        "host": {"type": "string"},
        "port": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        "security": {"enum": ["starttls", "tls"], "type": "string", "default": "starttls"},
        "to": {"items": {"type": "string"}, "type": "array"},
    }
    email = {"name": "email", "role": "notify", "summary": "Mail.", "credential_kinds": []}
    return [stash, {**stash, **email, "settings": {"properties": properties, "required": ["host", "to"]}}]


def integration(name="stash", driver="bitbucket-server", credentials=None, **changes):
    """Return an integration; of credentials only the names."""
    return {
        "name": name,
        "driver": driver,
        "roles": ["source"],
        "url": "https://stash.example.net",
        "credentials": sorted(credentials or []),
        "settings": {},
        "circuit": {"state": "closed", "until": None, "reason": None},
        "hook": None,
        "created_at": at(900),
        "updated_at": at(900),
        **changes,
    }


def hook(is_open=True):
    """Return where an integration's system sends its hooks."""
    url = "https://windlass.example.net/api/v1/hooks/stash"
    return {"url": url, "setup": "In the repository: Settings, Webhooks.", "is_open": is_open}


def received(number=1, **changes):
    """Return a hook that was received."""
    return {
        "id": number,
        "delivery": f"d-{number}",
        "event": "repo:refs_changed",
        "news": [],
        "state": "done",
        "outcome": "v13 of shop in production is deployed when it is ready",
        "received_at": at(60),
        "ended_at": at(59),
        **changes,
    }


def automation(number=1, **changes):
    """Return what a rule wanted."""
    return {
        "id": number,
        "release": "v13",
        "deploy": 41,
        "rule": {"branch": "main"},
        "reason": "push to branch main",
        "state": "deployed",
        "outcome": None,
        "created_at": at(60),
        "ended_at": at(50),
        **changes,
    }


def webhook(name="chat", **changes):
    """Return a webhook."""
    return {
        "name": name,
        "url": "https://chat.example.net/hooks/1",
        "enabled": True,
        "events": None,
        "applications": None,
        "environments": None,
        "circuit": {"state": "closed", "until": None, "reason": None},
        "created_at": at(900),
        "updated_at": at(900),
        **changes,
    }


def audited(number=1, **changes):
    """Return an entry of the audit trail."""
    return {
        "number": number,
        "at": at(60),
        "actor": "ann",
        "action": "target.update",
        "subject": "shop/production",
        "data": {"hosts": ["web1"]},
        "address": "10.0.0.7",
        "request_id": "r1",
        "seal": "0" * 64,
        **changes,
    }


def verdict(entries):
    """Return that the audit trail is as it was written."""
    message = f"All {entries} entries are as they were written."
    return {"ok": True, "entries": entries, "newest_seal": "0" * 64, "broken_at": None, "message": message}


def checks():
    """Return what trying an integration out shows: one thing works, one does not."""
    return [
        {"name": "login", "ok": True, "message": "The login works."},
        {"name": "repository", "ok": False, "message": "The token may not read it."},
    ]


def token(number=1, name="ci"):
    """Return a token."""
    return {"id": number, "name": name, "user": "admin", "created_at": at(60), "expires_at": None, "last_used_at": None}
