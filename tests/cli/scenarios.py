"""How a deploy of the stand-in goes: the events that it gets when it is started."""

from tests import shapes

RUN_OK = [
    ("host", {"state": "running", "wave": 1}),
    ("step", "ship", {"state": "running"}),
    ("progress", "ship", {"sent": 5, "total": 10}),
    ("step", "ship", {"state": "done"}),
    ("output", "start", "web: listening"),
    ("host", {"state": "succeeded", "wave": 1}),
]


def _run(api, number, host, events):
    for kind, *rest in events:
        more = {"data": rest[-1]} if isinstance(rest[-1], dict) else {"text": rest[-1]}
        if len(rest) == 2:
            more["step"] = rest[0]
        api.add_event(number, kind, host=host, **more)


def begin(api, number):
    """A deploy whose first host is done and whose second one runs on until the test says more."""
    api.add_event(number, "deploy", data={"state": "running"})
    _run(api, number, "web1", RUN_OK)
    _run(api, number, "web2", RUN_OK[:2])


def succeed(api, number):
    """A deploy that goes well on both hosts."""
    api.add_event(number, "deploy", data={"state": "running"})
    for host in ("web1", "web2"):
        _run(api, number, host, RUN_OK)
    api.deploys[number]["progress"] = shapes.progress(2, 2)
    api.add_event(number, "deploy", data={"state": "succeeded"})


def fail_health(api, number):
    """A deploy whose second host fails its health check, so that everything goes back."""
    begin(api, number)
    api.add_event(number, "step", host="web2", step="check", data={"state": "running"})
    api.add_event(number, "output", host="web2", step="check", text="KeyError: 'PRICE'")
    api.add_event(number, "step", host="web2", step="check", data={"state": "failed"}, text="GET /health answered 500")
    api.add_event(number, "host", host="web2", data={"state": "failed"}, text="GET /health answered 500")
    step = shapes.step("check", "failed", "GET /health answered 500")
    api.runs[number][1].update(state="failed", steps=[step])
    api.deploys[number]["reason"] = "web2 failed at check"
    api.add_event(number, "deploy", data={"state": "rolled_back"})
