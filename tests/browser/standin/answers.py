"""What the stand-in's answers have in common: problems, pages of lists, and things found by name."""

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


def page_of(items, query):
    """Return a page of a list; its cursor is the number of items before the next page."""
    after, limit = int(query.get("after", 0)), int(query.get("limit", 50))
    end = after + limit
    return {"items": items[after:end], "next": str(end) if end < len(items) else None}
