"""Everything that can go wrong, as one tree; each leaf knows its exit code.

WindlassError                    1
├── SettingsError                1  a setting or the settings file is wrong
├── NeedsAnswer                  2  a question was to be asked and nobody can answer it
├── Declined                     1  the person said no
├── Unreachable                  1  no connection, or it broke
├── BadAnswer                    1  something answered that is not the Windlass API
├── Problem                      1  the API said no (RFC 9457 problem document)
│   ├── NotAllowed               4  401, 403
│   ├── NotFound                 1  404
│   ├── Busy                     1  429, 502, 503, 504
│   └── ClientTooOld             6  400 with the code client-too-old
├── BuildFailed                  1  a release could not be built
├── RolloutFailed                3  a deploy ended, and not in success
├── CommandFailed                3  a command did not succeed on every host
├── PreparationFailed            3  a host could not be made ready for deploys
├── WaitTimedOut                 5  --timeout passed before the end
└── Interrupted                130  Ctrl-C while waiting
"""

EXIT_DONE = 0
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_ROLLOUT_FAILED = 3
EXIT_NOT_ALLOWED = 4
EXIT_WAIT_TIMED_OUT = 5
EXIT_CLIENT_TOO_OLD = 6
EXIT_INTERRUPTED = 130


class WindlassError(Exception):
    """An error to show to a person: what happened, details line by line, and what to do about it.

    ``message`` is one sentence, ``details`` further lines, ``remedy`` the next thing to do (a sentence or a command).
    """

    exit_code = EXIT_ERROR
    code = "error"

    def __init__(self, message, details=(), remedy=None):
        super().__init__(message)
        self.message = message
        self.details = list(details)
        self.remedy = remedy

    def as_dict(self):
        """Return the error as plain data, for ``--json``."""
        return {
            "code": self.code,
            "message": self.message,
            "details": self.details,
            "remedy": self.remedy,
            "exit_code": self.exit_code,
        }


class SettingsError(WindlassError):
    """A setting, or the settings file, cannot be used."""

    code = "settings"


class NeedsAnswer(WindlassError):
    """A question must be answered, but there is no terminal or ``--no-input`` was given."""

    exit_code = EXIT_USAGE
    code = "needs-answer"


class Declined(WindlassError):
    """The person answered no; nothing was changed."""

    code = "declined"


class Unreachable(WindlassError):
    """No connection to the server could be made, or it broke before the whole answer was there.

    ``may_pass`` says whether the same request may succeed in a moment.
    """

    code = "unreachable"

    def __init__(self, message, remedy=None, may_pass=True):
        super().__init__(message, remedy=remedy)
        self.may_pass = may_pass


class BadAnswer(WindlassError):
    """Something answered, but not as the Windlass API does (an HTML page, a redirect, garbage)."""

    code = "bad-answer"


class Problem(WindlassError):
    """The API refused, with a problem document (RFC 9457) or at least an HTTP status.

    ``status`` is the HTTP status, ``document`` the decoded document (empty when there was none), ``code`` its stable
    kebab-case code, ``retry_after`` the seconds the server asked to wait, if it did.
    """

    def __init__(self, status, document, message, details=(), remedy=None, retry_after=None):
        super().__init__(message, details, remedy)
        self.status = status
        self.document = document
        self.retry_after = retry_after
        self.code = str(document.get("code") or f"http-{status}")

    def as_dict(self):
        """Return the error as plain data: the problem document's members come first."""
        return {**self.document, **super().as_dict(), "status": self.status}


class NotAllowed(Problem):
    """401 or 403: not logged in, or logged in as somebody who may not do this."""

    exit_code = EXIT_NOT_ALLOWED


class NotFound(Problem):
    """404: there is no such thing."""


class Busy(Problem):
    """429, 502, 503 or 504: the server, or a proxy before it, asks to come back later."""


class ClientTooOld(Problem):
    """The server does not serve this version of the client any more."""

    exit_code = EXIT_CLIENT_TOO_OLD


class BuildFailed(WindlassError):
    """The release could not be built; ``release`` is what the API says of it."""

    code = "build-failed"

    def __init__(self, message, release, remedy=None):
        super().__init__(message, remedy=remedy)
        self.release = release


class RolloutFailed(WindlassError):
    """The deploy ended as failed, rolled_back or cancelled."""

    exit_code = EXIT_ROLLOUT_FAILED
    code = "rollout-failed"


class CommandFailed(WindlassError):
    """A command did not end with status 0 on every host."""

    exit_code = EXIT_ROLLOUT_FAILED
    code = "command-failed"


class PreparationFailed(WindlassError):
    """A host could not be made ready for deploys, or somebody cancelled that."""

    exit_code = EXIT_ROLLOUT_FAILED
    code = "preparation-failed"


class WaitTimedOut(WindlassError):
    """The time given by ``--timeout`` passed; what was waited for goes on."""

    exit_code = EXIT_WAIT_TIMED_OUT
    code = "wait-timed-out"


class Interrupted(WindlassError):
    """Ctrl-C stopped the waiting; what was waited for goes on."""

    exit_code = EXIT_INTERRUPTED
    code = "interrupted"
