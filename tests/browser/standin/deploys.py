"""The stand-in's deploys: with their plans, and beside them one-off commands and freezes."""

from tests import shapes
from tests.browser.standin.answers import Problem, page_of


class Deploys:
    """Answers about deploys, their plans and commands, and the freezes that hold deploys back."""

    def get_deploys(self, asked, rest):
        """GET /deploys and what is below it."""
        if not rest:
            return self.list_deploys(asked.query)
        deploy = self.world.deploys.get(int(rest[0]))
        if deploy is None:
            raise Problem(404, f"There is no deploy {rest[0]}.", "not-found")
        if rest[1:] == ["hosts"]:
            return page_of(self.world.runs.get(deploy["id"], []), asked.query)
        if rest[1:] == ["events"]:
            return self.events(f"deploy-{rest[0]}", asked)
        if rest[1:] == ["changelog"]:
            return self.world.changelog
        if rest[1:] == ["deliveries"]:
            return {"items": self.world.deliveries, "next": None}
        return deploy

    def list_deploys(self, query):
        """GET /deploys."""
        limit, after = int(query.get("limit", 50)), int(query.get("after", 1 << 30))
        found = [
            deploy
            for number, deploy in sorted(self.world.deploys.items(), reverse=True)
            if number < after and all(query.get(name) in (None, deploy[name]) for name in ("application", "environment", "state"))
        ]
        return {"items": found[:limit], "next": str(found[limit - 1]["id"]) if len(found) > limit else None}

    def post_deploys(self, asked, rest):
        """POST /deploys and the actions of a deploy."""
        if not rest:
            made = shapes.deploy(max(self.world.deploys, default=0) + 1, "queued", **asked.body)
        elif rest[1] == "rollback":
            undone = self.world.deploys[int(rest[0])]
            made = shapes.deploy(
                max(self.world.deploys) + 1, "queued", release=undone["previous_release"], rollback_of=undone["id"]
            )
        elif rest[1] == "hosts":
            run = next(run for run in self.world.runs[int(rest[0])] if run["host"] == rest[2])
            run.update(state="pending" if rest[3] == "retry" else "skipped")
            return run
        else:
            made = self.world.deploys[int(rest[0])]
            changes = {
                "cancel": {"cancel_requested_by": "admin"},
                "pause": {"state": "paused"},
                "approve": {"state": "queued"},
            }
            made.update(changes.get(rest[1], {"state": "running", "ended_at": None}))
        self.world.deploys[made["id"]] = made
        return made

    def get_plans(self, asked, rest):
        """GET /plans/<number>."""
        if int(rest[0]) not in self.world.plans:
            raise Problem(404, "There is no such plan.", "not-found")
        return self.world.plans[int(rest[0])]

    def get_commands(self, asked, rest):
        """GET /commands and what is below it."""
        if not rest:
            newest_first = sorted(self.world.commands.values(), key=lambda command: -command["id"])
            return {"items": [shapes.without_hosts(command) for command in newest_first], "next": None}
        if int(rest[0]) not in self.world.commands:
            raise Problem(404, f"There is no command {rest[0]}.", "not-found")
        return self.events(f"command-{rest[0]}", asked) if rest[1:] else self.world.commands[int(rest[0])]

    def post_commands(self, asked, rest):
        """POST /commands and /commands/<number>/cancel."""
        if rest:
            self.world.commands[int(rest[0])].update(cancel_requested_by="admin")
            return self.world.commands[int(rest[0])]
        made = shapes.command(len(self.world.commands) + 1, "running", **asked.body)
        self.world.commands[made["id"]] = made
        return made

    def get_freezes(self, asked, rest):
        """GET /freezes."""
        return {"items": self.world.freezes, "next": None}

    def post_freezes(self, asked, rest):
        """POST /freezes."""
        self.world.freezes.append(shapes.freeze(**asked.body))
        return self.world.freezes[-1]

    def delete_freezes(self, asked, rest):
        """DELETE /freezes/<name>."""
        self.world.freezes = [freeze for freeze in self.world.freezes if freeze["name"] != rest[0]]
