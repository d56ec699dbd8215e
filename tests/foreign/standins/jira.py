"""A stand-in for JIRA, Server or Cloud, with its habits: pages with caps, 204 without a deed, logins that end in a CAPTCHA."""

import base64
import itertools

from tests.foreign.standins.frame import Reply, StandIn, route

MOST = 20  # More than this a page never holds, whatever is asked for.
API = r"/rest/api/(?P<api>[23])"


class Jira(StandIn):
    """Projects SHOP and OPS, a workflow of three states; `is_cloud` chooses the kind."""

    def __init__(self, is_cloud=False):
        super().__init__()
        self.is_cloud = is_cloud
        self.token = "jira-t0ken"
        self.issues = {
            f"SHOP-{number}": {"summary": f"Thing {number}", "state": "In Progress", "comments": [], "links": {}}
            for number in range(1, 7)
        }
        self.ways = {
            "In Progress": [("21", "Review it", "In Review", {}), ("31", "Finish", "Done", {})],
            "In Review": [("31", "Finish", "Done", {})],
            "Done": [("41", "Reopen", "In Progress", {})],
        }
        self.does_nothing = False  # A post-function or an add-on undoes every transition, which is answered with 204.
        self.versions = {"SHOP": []}
        self.ids = itertools.count(10_000)

    def admit(self, request):
        """Cloud knows an e-mail address with a token, Server a bearer token; serverInfo is for everybody."""
        if request.path.endswith("/serverInfo"):
            return
        basic = "Basic " + base64.b64encode(f"bot@example.net:{self.token}".encode()).decode()
        if request.login not in ((basic,) if self.is_cloud else (f"Bearer {self.token}",)):
            raise Reply(b"<html>Unauthorized</html>", 401, kind="text/html")

    def error(self, status, message="The stand-in refuses."):
        """Errors have a list of messages and an object of fields."""
        return {"errorMessages": [message], "errors": {}}

    def of(self, api, key):
        """Return an issue of the right version of the API."""
        if (api == "3") != self.is_cloud:
            raise Reply(self.error(404, "No such API"), 404)
        if key not in self.issues:
            raise Reply(self.error(404, "Issue does not exist or you do not have permission to see it."), 404)
        return self.issues[key]

    @route("GET", API + "/serverInfo")
    def info(self, request, api):
        """Which kind it is."""
        return Reply(
            {
                "version": "1001.0.0" if self.is_cloud else "9.12.4",
                "deploymentType": "Cloud" if self.is_cloud else "Server",
            }
        )

    @route("GET", API + "/myself")
    def me(self, request, api):
        """Who asks."""
        return Reply({"displayName": "Deploy Bot"})

    @route("GET", API + r"/project/(?P<key>[A-Z]+)")
    def project(self, request, api, key):
        """A project."""
        if key not in self.versions:
            raise Reply(self.error(404, "No project could be found"), 404)
        return Reply({"key": key, "name": "The shop"})

    @route("GET", API + r"/issue/(?P<key>[^/]+)")
    def issue(self, request, api, key):
        """An issue."""
        found = self.of(api, key)
        return Reply({"id": "1", "key": key, "fields": {"summary": found["summary"], "status": {"name": found["state"]}}})

    @route("GET", API + r"/issue/(?P<key>[^/]+)/transitions")
    def transitions(self, request, api, key):
        """What the workflow allows now."""
        ways = self.ways[self.of(api, key)["state"]]
        return Reply(
            {
                "transitions": [
                    {"id": number, "name": name, "to": {"name": to}, "fields": fields} for number, name, to, fields in ways
                ]
            }
        )

    @route("POST", API + r"/issue/(?P<key>[^/]+)/transitions")
    def transit(self, request, api, key):
        """Take a transition."""
        found = self.of(api, key)
        way = next((way for way in self.ways[found["state"]] if way[0] == request.json["transition"]["id"]), None)
        if way is None:
            raise Reply(self.error(400, "It seems that you have tried to perform a workflow operation that is not valid."), 400)
        if not self.does_nothing:
            found["state"] = way[2]
        return Reply(None, 204)

    @route("GET", API + r"/issue/(?P<key>[^/]+)/comment")
    def comments(self, request, api, key):
        """A page of comments, newest first where asked."""
        found = self.of(api, key)["comments"]
        found = found[::-1] if request.query.get("orderBy") == "-created" else found
        start, count = request.number("startAt", 0), min(request.number("maxResults", 50), MOST)
        return Reply({"startAt": start, "maxResults": count, "total": len(found), "comments": found[start : start + count]})

    @route("POST", API + r"/issue/(?P<key>[^/]+)/comment")
    def add_comment(self, request, api, key):
        """Text in 2, a document in 3."""
        body = request.json["body"]
        if isinstance(body, dict) != self.is_cloud:
            raise Reply({"errorMessages": [], "errors": {"comment": "Comment body is not valid!"}}, 400)
        made = {"id": str(next(self.ids)), "body": body}
        self.of(api, key)["comments"].append(made)
        return Reply(made, 201)

    @route("GET", API + r"/issue/(?P<key>[^/]+)/remotelink")
    def link_of(self, request, api, key):
        """The link of a globalId."""
        links, global_id = self.of(api, key)["links"], request.query["globalId"]
        if global_id not in links:
            raise Reply(self.error(404, "The remote issue link is not found."), 404)
        return Reply({"id": 1, "globalId": global_id, "object": links[global_id]})

    @route("POST", API + r"/issue/(?P<key>[^/]+)/remotelink")
    def link(self, request, api, key):
        """The same globalId changes the link that is there."""
        links = self.of(api, key)["links"]
        status = 200 if request.json["globalId"] in links else 201
        links[request.json["globalId"]] = request.json["object"]
        return Reply({"id": next(self.ids)}, status)

    @route("GET", API + r"/project/(?P<key>[A-Z]+)/versions")
    def list_versions(self, request, api, key):
        """All versions of a project."""
        return Reply(self.versions[key])

    @route("POST", API + "/version")
    def add_version(self, request, api):
        """Make a version."""
        versions = self.versions[request.json["project"]]
        if any(version["name"] == request.json["name"] for version in versions):
            raise Reply(
                {"errorMessages": [], "errors": {"name": "A version with this name already exists in this project."}},
                400,
            )
        versions.append({"id": str(next(self.ids)), **request.json})
        return Reply(versions[-1], 201)

    @route("PUT", API + r"/version/(?P<number>\d+)")
    def change_version(self, request, api, number):
        """Change a version."""
        found = next(version for versions in self.versions.values() for version in versions if version["id"] == number)
        found.update(request.json)
        return Reply(found)
