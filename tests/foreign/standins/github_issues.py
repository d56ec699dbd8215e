"""A stand-in for the issues of GitHub: comments in pages by Link, milestones, and a token that may lack a scope."""

import itertools

from tests.foreign.standins.frame import Reply, StandIn, route

API = "/api/v3"
REPOSITORY = API + r"/repos/(?P<owner>[^/]+)/(?P<name>[^/]+)"
MOST = 3  # Pages are short, to be more than one.


class GitHubIssues(StandIn):
    """The repository team/shop of a GitHub Enterprise Server."""

    def __init__(self):
        super().__init__()
        self.token = "gh-t0ken"
        self.issues = {number: {"title": f"Thing {number}", "state": "open", "comments": []} for number in range(1, 6)}
        self.milestones = []
        self.ids = itertools.count(1)

    def admit(self, request):
        """Only who has the token."""
        if request.login != f"Bearer {self.token}":
            raise Reply(self.error(401, "Bad credentials"), 401)

    def error(self, status, message="Refused by the stand-in"):
        """Errors have a message and the page that explains them."""
        return {"message": message, "documentation_url": "https://docs.github.com/rest"}

    def of(self, owner, name, number):
        """Return an issue."""
        if (owner, name) != ("team", "shop") or int(number) not in self.issues:
            raise Reply(self.error(404, "Not Found"), 404)
        return self.issues[int(number)]

    def shown(self, number):
        """Return an issue as the API shows it."""
        found = self.issues[int(number)]
        return {
            "number": int(number),
            "title": found["title"],
            "state": found["state"],
            "html_url": f"{self.url}/team/shop/issues/{number}",
        }

    def page(self, request, items):
        """Return a page with the link to the next."""
        number = request.number("page", 1)
        found = items[(number - 1) * MOST : number * MOST]
        headers = {}
        if len(items) > number * MOST:
            headers["Link"] = (
                f'<{self.url}{request.path}?page={number + 1}>; rel="next", <{self.url}{request.path}?page=9>; rel="last"'
            )
        return Reply(found, headers=headers)

    @route("GET", API + "/user")
    def me(self, request):
        """Who asks."""
        return Reply({"login": "deploy-bot"})

    @route("GET", REPOSITORY + "/issues")
    def list_issues(self, request, owner, name):
        """The first issues."""
        return self.page(request, [self.shown(number) for number in self.issues])

    @route("GET", REPOSITORY + r"/issues/(?P<number>\d+)")
    def issue(self, request, owner, name, number):
        """An issue."""
        self.of(owner, name, number)
        return Reply(self.shown(number))

    @route("PATCH", REPOSITORY + r"/issues/(?P<number>\d+)")
    def change(self, request, owner, name, number):
        """Open or close it."""
        self.of(owner, name, number)["state"] = request.json["state"]
        return Reply(self.shown(number))

    @route("GET", REPOSITORY + r"/issues/(?P<number>\d+)/comments")
    def comments(self, request, owner, name, number):
        """Its comments."""
        return self.page(request, self.of(owner, name, number)["comments"])

    @route("POST", REPOSITORY + r"/issues/(?P<number>\d+)/comments")
    def add_comment(self, request, owner, name, number):
        """One more."""
        made = {"id": next(self.ids), "body": request.json["body"]}
        self.of(owner, name, number)["comments"].append(made)
        return Reply(made, 201)

    @route("PATCH", REPOSITORY + r"/issues/comments/(?P<number>\d+)")
    def change_comment(self, request, owner, name, number):
        """Change a comment."""
        for issue in self.issues.values():
            for comment in issue["comments"]:
                if comment["id"] == int(number):
                    comment["body"] = request.json["body"]
                    return Reply(comment)
        raise Reply(self.error(404, "Not Found"), 404)

    @route("GET", REPOSITORY + "/milestones")
    def list_milestones(self, request, owner, name):
        """Open ones, or all."""
        state = request.query.get("state", "open")
        return self.page(request, [item for item in self.milestones if state in ("all", item["state"])])

    @route("POST", REPOSITORY + "/milestones")
    def add_milestone(self, request, owner, name):
        """Titles are taken once."""
        if any(item["title"] == request.json["title"] for item in self.milestones):
            body = {
                "message": "Validation Failed",
                "errors": [{"resource": "Milestone", "code": "already_exists", "field": "title"}],
            }
            raise Reply(body, 422)
        self.milestones.append({"number": len(self.milestones) + 1, "state": "open", **request.json})
        return Reply(self.milestones[-1], 201)

    @route("PATCH", REPOSITORY + r"/milestones/(?P<number>\d+)")
    def change_milestone(self, request, owner, name, number):
        """Close it."""
        found = self.milestones[int(number) - 1]
        found.update(request.json)
        return Reply(found)
