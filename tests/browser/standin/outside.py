"""The stand-in's other systems: integrations, what they send (hooks), who is told (webhooks), and what was sent to them."""

from tests import shapes
from tests.browser.standin.answers import named


class Outside:
    """Answers about what is outside Windlass."""

    def get_integrations(self, asked, rest):
        """GET /integrations, /integrations/drivers, /integrations/<name> and its hooks."""
        if rest == ["drivers"]:
            return {"items": shapes.drivers(), "on_hosts": []}
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
            return {"ok": False, "version": "8.19", "checks": shapes.checks()}
        self.world.integrations.append(shapes.integration(**asked.body))
        return self.world.integrations[-1]

    def patch_integrations(self, asked, rest):
        """PATCH /integrations/<name>."""
        found = named(self.world.integrations, rest[0], "integration")
        found.update(shapes.integration(**{**found, **asked.body}))
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
        self.world.webhooks.append(shapes.webhook(**asked.body))
        return {**self.world.webhooks[-1], "secret": "whsec_only-once"}

    def patch_webhooks(self, asked, rest):
        """PATCH /webhooks/<name>."""
        found = named(self.world.webhooks, rest[0], "webhook")
        found.update({name: value for name, value in asked.body.items() if name != "secret"})
        return found

    def delete_webhooks(self, asked, rest):
        """DELETE /webhooks/<name>."""
        self.world.webhooks.remove(named(self.world.webhooks, rest[0], "webhook"))

    def post_deliveries(self, asked, rest):
        """POST /deliveries/<number>/resend."""
        found = next(item for item in self.world.deliveries if item["id"] == int(rest[0]))
        found.update(state="waiting", attempts=0, error=None)
        return found
