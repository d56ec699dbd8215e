"""The stand-in's other systems: integrations, what they send (hooks), and who is told (webhooks)."""

from tests.browser import data

TITLES = {401: "Log in first", 403: "Not allowed", 404: "Not found", 409: "Conflict", 422: "Some fields cannot be used"}


class Problem(Exception):
    """An answer of problem+json."""

    def __init__(self, status, detail, code="problem", errors=None):
        super().__init__(detail)
        self.status = status
        self.body = {
            "type": "about:blank",
            "title": TITLES.get(status, "Problem"),
            "status": status,
            "detail": detail,
            "code": code,
            "request_id": "r1",
        }
        if errors:
            self.body["errors"] = [{"field": name, "message": message} for name, message in errors.items()]


def named(items, name, noun, key="name"):
    """Return the item with a name; 404 without one."""
    for item in items:
        if item[key] == name:
            return item
    raise Problem(404, f"There is no {noun} {name}.", "not-found")


class Outside:
    """Answers about what is outside Windlass, and who changed what."""

    def get_audit(self, asked, rest):
        """GET /audit and /audit/verify."""
        if rest == ["verify"]:
            return {"ok": True, "entries": 2, "message": "All 2 entries are as they were written."}
        wanted = {"by": "actor", "action": "action", "subject": "subject"}
        chosen = {field: asked.query[name] for name, field in wanted.items() if name in asked.query}
        found = [row for row in self.world.audit if all(row[field] == value for field, value in chosen.items())]
        return {"items": found, "next": None}

    def get_integrations(self, asked, rest):
        """GET /integrations, /integrations/drivers, /integrations/<name> and its hooks."""
        if rest == ["drivers"]:
            return {"items": data.drivers()}
        if rest[1:] == ["hooks"]:
            return {"items": self.world.hooks, "next": None}
        found = self.world.integrations
        return named(found, rest[0], "integration") if rest else {"items": found, "next": None}

    def post_integrations(self, asked, rest):
        """POST /integrations, /integrations/<name>/test and hook."""
        if rest[1:] == ["hook"]:
            hook = named(self.world.integrations, rest[0], "integration")["hook"]
            hook["is_open"] = True
            return {
                "url": hook["url"],
                "setup": hook["setup"],
                "secret": f"only-once-{len(self.asked_for(asked.path))}",
            }
        if rest:
            return {"ok": False, "version": "8.19", "checks": data.checks()}
        self.world.integrations.append(data.integration(**asked.body))
        return self.world.integrations[-1]

    def patch_integrations(self, asked, rest):
        """PATCH /integrations/<name>."""
        found = named(self.world.integrations, rest[0], "integration")
        found.update(data.integration(**{**found, **asked.body}))
        return found

    def delete_integrations(self, asked, rest):
        """DELETE /integrations/<name>/hook."""
        named(self.world.integrations, rest[0], "integration")["hook"]["is_open"] = False

    def get_webhooks(self, asked, rest):
        """GET /webhooks and /webhooks/<name>."""
        found = self.world.webhooks
        return named(found, rest[0], "webhook") if rest else {"items": found, "next": None}

    def post_webhooks(self, asked, rest):
        """POST /webhooks."""
        self.world.webhooks.append(data.webhook(**asked.body))
        return {**self.world.webhooks[-1], "secret": "whsec_only-once"}

    def patch_webhooks(self, asked, rest):
        """PATCH /webhooks/<name>."""
        found = named(self.world.webhooks, rest[0], "webhook")
        found.update({name: value for name, value in asked.body.items() if name != "secret"})
        return found

    def delete_webhooks(self, asked, rest):
        """DELETE /webhooks/<name>."""
        self.world.webhooks.remove(named(self.world.webhooks, rest[0], "webhook"))
