"""The resources of the stand-in: what each path answers, and the problems it refuses with."""

import json
import zlib

from tests import shapes

ME = {"name": "admin", "is_administrator": True, "permissions": ["read"], "csrf_token": None}
STARTED = "2026-01-01T10:00:00.000Z"


class Refused(Exception):
    """An answer with a problem document."""

    def __init__(self, status, code, detail, headers=None, **more):
        super().__init__(detail)
        self.status, self.headers = status, headers or {}
        self.document = {
            "type": "about:blank",
            "title": code,
            "status": status,
            "detail": detail,
            "code": code,
            "request_id": "req-1",
            **more,
        }


def known(mapping, name, what):
    if name not in mapping:
        raise Refused(404, "not-found", f"There is no {what} {name}.")
    return mapping[name]


def only(body, *fields):
    unknown = sorted(set(body) - set(fields))
    if unknown:
        raise Refused(
            422,
            "invalid",
            "Some fields cannot be used.",
            errors=[{"field": name, "message": "is not known"} for name in unknown],
        )
    return body


def page(rows, request, cursor=lambda row, index: str(index + 1)):
    """Return one page of a list: cursors are positions."""
    start, size = int(request.query.get("after", 0)), min(int(request.query.get("limit", 50)), 200)
    chosen = rows[start : start + size]
    more = start + size < len(rows)
    return 200, {"items": chosen, "next": str(start + size) if more else None}


def event_page(events, request):
    after, size = int(request.query.get("after", 0)), min(int(request.query.get("limit", 50)), 200)
    chosen = [event for event in events if event["number"] > after][:size]
    more = bool(chosen) and chosen[-1]["number"] < len(events)
    return 200, {"items": chosen, "next": chosen[-1]["number"] if more else None}


def create_application(api, request):
    body = only(request.body, "name", "source", "team", "processes")
    if body["name"] in api.applications:
        raise Refused(409, "already-exists", f"There is an application {body['name']} already.")
    api.applications[body["name"]] = shapes.application(**body)
    api.releases[body["name"]] = []
    return 201, api.applications[body["name"]]


def delete_application(api, request, name):
    known(api.applications, name, "application")
    del api.applications[name]
    return 204, None


def list_releases(api, request, name):
    wanted = request.query.get("state")
    rows = [row for row in known(api.releases, name, "application") if wanted in (None, row["state"])]
    return page(rows, request)


def find_release(api, name, version):
    known(api.applications, name, "application")
    return known({release["version"]: release for release in api.releases[name]}, version, "release")


def create_release(api, request, name):
    only(request.body, "ref", "package_version", "upgrade_dependencies")
    release = {
        **api.a_release(f"v{len(api.releases[name]) + 1}", "building", request.body.get("ref")),
        "application": name,
    }
    if request.body.get("ref") == "no-such-branch":
        raise Refused(
            422,
            "invalid",
            "The release cannot be built.",
            errors=[{"field": "ref", "message": "no-such-branch is not in the repository"}],
        )
    api.releases[name].insert(0, release)
    answer = dict(release)
    version = release["version"]
    for text in ("Cloning\n", "Locking 12 packages\n"):
        number = len(api.release_events[name, version]) + 1
        event = {"number": number, "at": shapes.at(), "kind": "output", "text": text}
        api.release_events[name, version].append(event)
    release["state"] = api.build_ends
    release["error"] = "pip: no such package" if api.build_ends == "failed" else None
    return 202, answer


def cancel_release(api, request, name, version):
    release = find_release(api, name, version)
    if release["state"] != "building":
        raise Refused(409, "not-cancellable", f"Release {version} of {name} is {release['state']}.")
    release["cancel_requested_by"] = "admin"
    answer = dict(release)
    release.update(state="failed", error="cancelled by admin")
    return 200, answer


def create_deploy(api, request):
    body = only(request.body, "application", "release", "environment", "strategy", "comment")
    if find_release(api, body["application"], body["release"])["state"] != "ready":
        raise Refused(409, "release-not-ready", f"Release {body['release']} is not ready.")
    deploy = api.a_deploy(body["release"], body["environment"], application=body["application"])
    answer = dict(deploy)
    api.scenario(api, deploy["id"])
    return 201, answer


def roll_back(api, request, number):
    old = known(api.deploys, int(number), "deploy")
    deploy = api.a_deploy(old["previous_release"], old["environment"], application=old["application"])
    answer = dict(deploy)
    api.scenario(api, deploy["id"])
    return 201, answer


def cancel(api, request, number):
    deploy = known(api.deploys, int(number), "deploy")
    if deploy["state"] in ("succeeded", "failed", "rolled_back", "cancelled"):
        raise Refused(409, "already-ended", f"Deploy {number} has ended already: {deploy['state']}.")
    api.add_event(int(number), "deploy", data={"state": "cancelled"})
    return 200, deploy


def list_deploys(api, request):
    wanted = {name: request.query[name] for name in ("application", "environment", "state") if name in request.query}
    rows = [deploy for deploy in reversed(api.deploys.values()) if all(deploy[name] == value for name, value in wanted.items())]
    return page(rows, request)


def log_text(api, request, number):
    return 200, "".join(line for event in api.events[int(number)] for line in as_text(event))


def as_text(event):
    if event["kind"] == "progress":
        return
    where = " ".join(part for part in (event.get("host"), event.get("step")) if part)
    state = (event.get("data") or {}).get("state")
    for line in (event.get("text") or "").splitlines() or [""]:
        parts = [event["at"], f"[{where}]" if where else "", f"{event['kind']} {state}:" if state else "", line]
        yield " ".join(part for part in parts if part).rstrip(": ") + "\n"


def create_host(api, request):
    body = only(request.body, "name", "address", "port", "user", "zone", "tags", "transport", "root", "settings", "host_key")
    settings = {**shapes.host()["settings"], **body.get("settings", {})}
    api.hosts[body["name"]] = shapes.new_host(**{"address": body["name"], "tags": [], **body, "settings": settings})
    return 201, api.hosts[body["name"]]


def trust(api, request, name):
    host = known(api.hosts, name, "host")
    only(request.body, "fingerprint", "preview")
    wanted = request.body.get("fingerprint")
    if request.body.get("preview"):
        return 200, {"fingerprint": "SHA256:abc", "host_key": "ssh-ed25519 AAAA", "pinned": host["host_key"]}
    if wanted != "SHA256:abc":
        raise Refused(409, "fingerprint-mismatch", f"Host {name} shows SHA256:abc, not {wanted}.")
    host.update(host_key="ssh-ed25519 AAAA", state="ready")
    return 200, host


def maintenance(api, request, name):
    only(request.body, "enabled", "reason")
    host = known(api.hosts, name, "host")
    host.update(state="maintenance" if request.body["enabled"] else "ready", maintenance_reason=request.body.get("reason"))
    return 200, host


def add_environment(api, request):
    body = only(request.body, "name", "position")
    if body["name"] in api.environments:
        raise Refused(409, "already-exists", f"There is already an environment {body['name']}.")
    api.environments[body["name"]] = shapes.environment(**{"position": len(api.environments) + 1, **body})
    return 201, api.environments[body["name"]]


def remove_environment(api, request, name):
    known(api.environments, name, "environment")
    del api.environments[name]
    return 204, None


def put_target(api, request, name, environment):
    known(api.applications, name, "application")
    known(api.environments, environment, "environment")
    fields = ("hosts", "strategy", "health", "processes", "server_names", "rules", "configure", "drain_s", "keep_warm")
    before = api.targets.get((name, environment))
    if request.headers.get("If-Match") not in (None, tag_of(before)):
        raise Refused(412, "changed", "Somebody changed this since you read it: read it again and repeat your change.")
    body = only(request.body, *fields)
    made = shapes.target(environment, application=name, created_at=STARTED, updated_at=STARTED)
    api.targets[name, environment] = {
        **made,
        "server_names": [],
        "drain_s": 30,
        "resolved_hosts": body["hosts"] if isinstance(body["hosts"], list) else ["web1"],
        **body,
        "strategy": {**made["strategy"], "batch": None, **body.get("strategy", {})},
        "health": {"path": "/", "timeout_s": 30, "expect_status": None, **body.get("health", {})},
    }
    return 200, api.targets[name, environment]


def remove_target(api, request, name, environment):
    known(api.targets, (name, environment), "target")
    del api.targets[name, environment]
    return 204, None


def change_variables(api, request, name, environment):
    for variable, value in only(request.body, "variables")["variables"].items():
        if value is None:
            api.variables.pop(variable, None)
        else:
            api.variables[variable] = value
    return show_variables(api, request, name, environment)


def show_variables(api, request, name, environment):
    shown = {name: value if isinstance(value, str) else {"secret": True} for name, value in api.variables.items()}
    return 200, {"variables": shown, "updated_at": None}


def tag_of(answer):
    """Return the entity tag of an answer."""
    return f'"{zlib.crc32(json.dumps(answer).encode())}"'


def remove_host(api, request, name):
    known(api.hosts, name, "host")
    del api.hosts[name]
    return 204, None


def show_me(api, request):
    return 200, ME


def show_status(api, request):
    names = ("application", "environment")
    rows = [row for row in api.status if all(request.query.get(name) in (None, row[name]) for name in names)]
    in_order = [{"name": item["name"], "position": item["position"]} for item in api.environments.values()]
    return 200, {**page(rows, request)[1], "environments": in_order}


def compare(api, request, name, old, new):
    nothing = {"added": [], "changed": [], "removed": []}
    lists = {"commits": [], "reverted_commits": [], "files": [], "files_total": 0, "dependencies": nothing}
    versions = {"application": name, "from": old, "to": new, "python": {"from": "3.11", "to": "3.11"}, "processes": {}}
    return 200, {**lists, **versions, **api.changes}


ROUTES = {
    "GET /me": show_me,
    "GET /status": show_status,
    "GET /applications": lambda api, request: page(list(api.applications.values()), request),
    "POST /applications": create_application,
    "GET /applications/([^/]+)": lambda api, request, name: (200, known(api.applications, name, "application")),
    "DELETE /applications/([^/]+)": delete_application,
    "GET /applications/([^/]+)/releases": list_releases,
    "POST /applications/([^/]+)/releases": create_release,
    "GET /applications/([^/]+)/releases/([^/]+)": lambda api, request, name, version: (
        200,
        shapes.release_in_full(find_release(api, name, version)),
    ),
    "POST /applications/([^/]+)/releases/([^/]+)/cancel": cancel_release,
    "GET /applications/([^/]+)/releases/([^/]+)/events": lambda api, request, name, version: event_page(
        api.release_events[name, version], request
    ),
    "GET /applications/([^/]+)/releases/([^/]+)/compare/([^/]+)": compare,
    "GET /deploys": list_deploys,
    "POST /deploys": create_deploy,
    r"GET /deploys/(\d+)": lambda api, request, number: (200, known(api.deploys, int(number), "deploy")),
    r"GET /deploys/(\d+)/hosts": lambda api, request, number: page(api.runs[int(number)], request),
    r"GET /deploys/(\d+)/events": lambda api, request, number: event_page(api.events[int(number)], request),
    r"GET /deploys/(\d+)/log": log_text,
    r"POST /deploys/(\d+)/rollback": roll_back,
    r"POST /deploys/(\d+)/cancel": cancel,
    "GET /hosts": lambda api, request: page(list(api.hosts.values()), request),
    "POST /hosts": create_host,
    "GET /hosts/([^/]+)": lambda api, request, name: (200, known(api.hosts, name, "host")),
    "DELETE /hosts/([^/]+)": remove_host,
    "POST /hosts/([^/]+)/check": lambda api, request, name: (
        200,
        {**known(api.hosts, name, "host"), "facts": {"python": "3.11.2", "cpus": 2}},
    ),
    "POST /hosts/([^/]+)/trust": trust,
    "POST /hosts/([^/]+)/maintenance": maintenance,
    "GET /zones/([^/]+)": lambda api, request, name: (
        200,
        {**shapes.zone(name), "public_key": f"ssh-ed25519 KEY windlass-{name}"},
    ),
    "GET /environments": lambda api, request: page(list(api.environments.values()), request),
    "POST /environments": add_environment,
    "GET /environments/([^/]+)": lambda api, request, name: (200, known(api.environments, name, "environment")),
    "DELETE /environments/([^/]+)": remove_environment,
    "GET /applications/([^/]+)/targets": lambda api, request, name: page(
        [target for target in api.targets.values() if target["application"] == name], request
    ),
    "GET /applications/([^/]+)/targets/([^/]+)": lambda api, request, name, environment: (
        200,
        known(api.targets, (name, environment), "target"),
    ),
    "PUT /applications/([^/]+)/targets/([^/]+)": put_target,
    "DELETE /applications/([^/]+)/targets/([^/]+)": remove_target,
    "GET /applications/([^/]+)/targets/([^/]+)/variables": show_variables,
    "PATCH /applications/([^/]+)/targets/([^/]+)/variables": change_variables,
}
