"""The stand-in's tokens and its audit trail."""

from tests import shapes


class Access:
    """Answers about tokens, and about who changed what."""

    def get_tokens(self, asked, rest):
        """GET /tokens."""
        return {"items": self.world.tokens, "next": None}

    def post_tokens(self, asked, rest):
        """POST /tokens."""
        self.world.tokens.append(shapes.token(len(self.world.tokens) + 1, asked.body["name"]))
        return {**self.world.tokens[-1], "secret": "wl_only-once"}

    def delete_tokens(self, asked, rest):
        """DELETE /tokens/<number>."""
        self.world.tokens = [token for token in self.world.tokens if token["id"] != int(rest[0])]

    def get_audit(self, asked, rest):
        """GET /audit and /audit/verify."""
        if rest == ["verify"]:
            return shapes.verdict(2)
        wanted = {"by": "actor", "action": "action", "subject": "subject"}
        chosen = {field: asked.query[name] for name, field in wanted.items() if name in asked.query}
        found = [row for row in self.world.audit if all(row[field] == value for field, value in chosen.items())]
        return {"items": found, "next": None}
