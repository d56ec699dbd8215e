"""The stand-in's applications: with their releases, targets and variables, the environments, and the status of all."""

from tests import shapes
from tests.browser.standin.answers import named


class Applications:
    """Answers about what is deployed, and where to."""

    def get_status(self, asked, rest):
        """GET /status."""
        items = [item for item in self.world.status if asked.query.get("application") in (None, item["application"])]
        in_order = [{name: item[name] for name in ("name", "position")} for item in self.world.environments]
        return {"items": items, "next": None, "environments": in_order}

    def get_environments(self, asked, rest):
        """GET /environments and /environments/<name>."""
        found = self.world.environments
        return named(found, rest[0], "environment") if rest else {"items": found, "next": None}

    def post_environments(self, asked, rest):
        """POST /environments."""
        made = shapes.environment(**{"position": 9, **asked.body})
        self.world.environments.append(made)
        return made

    def patch_environments(self, asked, rest):
        """PATCH /environments/<name>."""
        found = named(self.world.environments, rest[0], "environment")
        found.update(asked.body)
        return found

    def delete_environments(self, asked, rest):
        """DELETE /environments/<name>."""
        self.world.environments.remove(named(self.world.environments, rest[0], "environment"))

    def get_zones(self, asked, rest):
        """GET /zones and /zones/<name>."""
        return named(self.world.zones, rest[0], "zone") if rest else {"items": self.world.zones, "next": None}

    def get_applications(self, asked, rest):
        """GET /applications and what is below it."""
        if not rest:
            return {"items": self.world.applications, "next": None}
        found = named(self.world.applications, rest[0], "application")
        if rest[3:4] == ["maintenance"]:
            return self.world.maintenance
        if rest[3:4] == ["automations"]:
            return {"items": self.world.automations, "next": None}
        if rest[3:4] == ["variables"]:
            return {"variables": self.world.variables, "updated_at": None}
        if rest[1:2] == ["targets"]:
            of_status = [shapes.target(item["environment"]) for item in self.world.status if item["application"] == rest[0]]
            targets = self.world.targets.get(rest[0], of_status)
            return named(targets, rest[2], "target", "environment") if rest[2:] else {"items": targets, "next": None}
        if rest[1:2] == ["releases"]:
            return self.get_releases(asked, rest[0], rest[2:])
        if rest[1:2] in (["refs"], ["versions"]):
            wanted = asked.query.get("query", "")
            return {"items": [item for item in self.world.choices if wanted in str(item)], "next": None}
        return found

    def get_releases(self, asked, application, rest):
        """GET /applications/<name>/releases and what is below it."""
        releases = self.world.releases.get(application, [])
        if not rest:
            return {"items": releases, "next": None}
        if rest[1:] == ["events"]:
            return self.events(f"release-{application}-{rest[0]}", asked)
        return shapes.release_in_full(named(releases, rest[0], "release", "version"))

    def post_applications(self, asked, rest):
        """POST /applications, /applications/<name>/releases and /applications/<name>/releases/<version>/cancel."""
        if rest[3:] == ["cancel"]:
            found = named(self.world.releases[rest[0]], rest[2], "release", "version")
            found.update(cancel_requested_by="admin", state="failed", error="cancelled by admin")
            return found
        if rest:
            version = f"v{13 + len(self.world.releases.get(rest[0], []))}"
            built_from = {name: asked.body.get(name) for name in ("ref", "package_version")}
            made = shapes.release(version, "building", application=rest[0], **built_from)
            self.world.releases.setdefault(rest[0], []).insert(0, made)
            return made
        made = shapes.application(**asked.body)
        self.world.applications.append(made)
        return made

    def put_applications(self, asked, rest):
        """PUT /applications/<name>/targets/<environment>, and maintenance below it."""
        if rest[3:4] == ["maintenance"]:
            return self.close(asked.body)
        if rest[3:4] == ["lock"]:
            lock = shapes.lock(reason=asked.body["reason"])
            self.world.status[0].update(lock=lock)
            return lock
        strategy = {**shapes.ALL_AT_ONCE, **asked.body.get("strategy", {})}
        made = shapes.target(rest[2], **{**asked.body, "strategy": strategy})
        targets = self.world.targets.setdefault(rest[0], [])
        if any(target["environment"] == rest[2] for target in targets):
            named(targets, rest[2], "target", "environment").update(made)
            return made
        targets.append(made)
        self.world.status.append(
            shapes.status(
                rest[0],
                rest[2],
                desired=None,
                observed=None,
                state="never",
                deploy=None,
                hosts=[],
                previous_release=None,
            )
        )
        return made

    def close(self, body):
        """Put the one target into maintenance; its host follows later."""
        about = {"holder": "ada", "since": shapes.at(), "reason": None, "message": None, "retry_after_s": None, **body}
        self.world.status[0].update(maintenance=about)
        host = {"host": "web1", "state": "failed", "message": "nobody answers there", "changed_at": None}
        self.world.maintenance = {"enabled": True, **about, "hosts": [host]}
        return self.world.maintenance

    def patch_applications(self, asked, rest):
        """PATCH /applications/<name>/targets/<environment>/variables."""
        for name, value in asked.body["variables"].items():
            if value is None:
                del self.world.variables[name]
            else:
                self.world.variables[name] = {"secret": True} if isinstance(value, dict) else value
        return {"variables": self.world.variables, "updated_at": None}

    def delete_applications(self, asked, rest):
        """DELETE /applications/<name>, a target of it, and that one's maintenance and lock."""
        if rest[1:] == []:
            self.world.applications.remove(named(self.world.applications, rest[0], "application"))
            return None
        if rest[3:] == []:
            targets = self.world.targets[rest[0]]
            targets.remove(named(targets, rest[2], "target", "environment"))
            return None
        if rest[3:4] == ["lock"]:
            self.world.status[0].update(lock=None)
            return None
        self.world.maintenance.update(enabled=False, hosts=[{**self.world.maintenance["hosts"][0], "state": "open"}])
        self.world.status[0].update(maintenance=None)
        return self.world.maintenance
