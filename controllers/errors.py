"""The exceptions of all controllers, as one small tree; api/ maps it to problem+json in one place.

WindlassError
├── Invalid              422  input that cannot be used, field by field
├── BadRequest           400
├── Unauthenticated      401
├── Forbidden            403
├── NotFound             404
├── Conflict             409
├── PreconditionFailed   412
├── TooLarge             413
├── UnsupportedMediaType 415
├── Throttled            429
└── Unavailable          503  something Windlass needs does not answer
"""


class WindlassError(Exception):
    """A refusal with a stable kebab-case `code`, a sentence for people, and more fields for the answer (`extra`)."""

    status = 500
    code = "internal-error"
    title = "Internal error"

    def __init__(self, detail, code=None, **extra):
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.code
        self.extra = extra


class BuildFailed(Exception):
    """A build cannot succeed; the message is one sentence for people, `tail` the last lines of what was running."""

    def __init__(self, message, tail=()):
        super().__init__(message)
        self.tail = list(tail)


class StepFailed(Exception):
    """What stops work on a host and is no word of its agent's (remote.session.AgentError), shown in the same way.

    A stable `code`, the `step` or None, a `message` and a `remedy` for people; no agent has put anything back (`restored`).
    """

    restored = None

    def __init__(self, code, step, message, remedy):
        super().__init__(message)
        self.code, self.step, self.message, self.remedy = code, step, message, remedy
        self.detail = {}


class Invalid(WindlassError):
    """Input that cannot be used; `errors` lists {"field", "message"}."""

    status, code, title = 422, "invalid", "Some fields cannot be used"

    def __init__(self, errors, detail=None, code=None):
        self.errors = [{"field": field, "message": message} for field, message in errors]
        super().__init__(detail or "; ".join(f"{field}: {message}" for field, message in errors), code)


class BadRequest(WindlassError):
    """The request itself cannot be understood."""

    status, code, title = 400, "bad-request", "Bad request"


class Unauthenticated(WindlassError):
    """Nobody is known to be asking."""

    status, code, title = 401, "unauthenticated", "Log in first"


class Forbidden(WindlassError):
    """The caller may not do this."""

    status, code, title = 403, "forbidden", "Not allowed"


class NotFound(WindlassError):
    """No such thing, or none the caller may see."""

    status, code, title = 404, "not-found", "Not found"


class Conflict(WindlassError):
    """The state of things does not allow it now."""

    status, code, title = 409, "conflict", "Conflict"


class PreconditionFailed(WindlassError):
    """If-Match named another version of the resource."""

    status, code, title = 412, "precondition-failed", "The resource has changed since"


class TooLarge(WindlassError):
    """The body is larger than web.max_body_bytes."""

    status, code, title = 413, "body-too-large", "Body too large"


class UnsupportedMediaType(WindlassError):
    """The body is not in a format this route reads."""

    status, code, title = 415, "unsupported-media-type", "Unsupported media type"


class Throttled(WindlassError):
    """Too many attempts; `retry_after_s` says when the next one is looked at."""

    status, code, title = 429, "too-many-attempts", "Too many attempts"


class Unavailable(WindlassError):
    """Something Windlass needs does not answer now."""

    status, code, title = 503, "unavailable", "Not available now"
