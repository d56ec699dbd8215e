"""A client of the API inside the test's own process: WSGI calls, no sockets."""

from werkzeug.test import Client

PREFIX = "/api/v1"


class ApiClient:
    """Calls the WSGI application as somebody: with a bearer token, or as nobody. Cookies are kept as a browser keeps them."""

    def __init__(self, application, token=None):
        self.wsgi = Client(application)
        self.token = token
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def request(self, method, path, body=None, headers=None, **options):
        """Send a request to a path below /api/v1; `body` is sent as JSON. Returns werkzeug's TestResponse."""
        options.setdefault("environ_base", {"REMOTE_ADDR": "127.0.0.1"})
        if body is not None:
            options["json"] = body
        return self.wsgi.open(PREFIX + path, method=method, headers={**self.headers, **(headers or {})}, **options)

    def get(self, path, **options):
        """GET a path."""
        return self.request("GET", path, **options)

    def post(self, path, body=None, **options):
        """POST a JSON body to a path."""
        return self.request("POST", path, body, **options)

    def put(self, path, body=None, **options):
        """PUT a JSON body to a path."""
        return self.request("PUT", path, body, **options)

    def patch(self, path, body=None, **options):
        """PATCH what is at a path."""
        return self.request("PATCH", path, body, **options)

    def delete(self, path, **options):
        """DELETE what is at a path."""
        return self.request("DELETE", path, **options)


def assert_problem(response, status, code):
    """Check that a response is an error in the one shape that all errors have; returns the problem."""
    assert (response.status_code, response.mimetype) == (status, "application/problem+json"), response.get_data(as_text=True)
    problem = response.json
    assert (problem["status"], problem["code"]) == (status, code), problem
    assert all(isinstance(problem[name], str) and problem[name] for name in ("type", "title", "detail", "request_id")), problem
    assert "Traceback" not in response.get_data(as_text=True)
    return problem
