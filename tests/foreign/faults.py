"""Every way in which a foreign system may misbehave, and the kind of error that each must become in every driver."""

from controllers.foreign import errors

PAGE = b"<html><head><title>Oops</title></head><body>secret page</body></html>"
FAULTS = [
    ("status", {"status": 401}, errors.REFUSED_CREDENTIALS),
    ("status", {"status": 403}, errors.NOT_PERMITTED),
    ("status", {"status": 404}, errors.NOT_FOUND),
    ("status", {"status": 409}, errors.CONFLICT),
    ("status", {"status": 429, "retry_after": 7}, errors.RATE_LIMITED),
    ("status", {"status": 500, "body": PAGE, "kind": "text/html"}, errors.UNAVAILABLE),
    ("status", {"status": 502, "body": PAGE, "kind": "text/html"}, errors.UNAVAILABLE),
    ("status", {"status": 503, "retry_after": 7}, errors.UNAVAILABLE),
    ("status", {"status": 504}, errors.TIMED_OUT),
    ("wrong-type", {}, errors.BAD_ANSWER),
    ("garbage", {}, errors.BAD_ANSWER),
    ("truncate", {}, errors.UNAVAILABLE),
    ("reset", {}, errors.UNAVAILABLE),
    ("slow", {}, errors.TIMED_OUT),
    ("drip", {}, errors.TIMED_OUT),
]
