"""The error of every failure with a foreign system: which system, what kind of failure, its message, and what to do about it."""

from controllers.errors import WindlassError

UNUSABLE = "unusable"  # Windlass itself has too little to ask with: a field, a name, a setting.
REFUSED_CREDENTIALS, NOT_PERMITTED, NOT_FOUND = "refused-credentials", "not-permitted", "not-found"
CONFLICT, REFUSED, RATE_LIMITED = "conflict", "refused", "rate-limited"
UNAVAILABLE, TIMED_OUT, BAD_ANSWER = "unavailable", "timed-out", "bad-answer"
TOO_LARGE, CIRCUIT_OPEN, UNCLEAR = "too-large", "circuit-open", "unclear"
FAILED, STOPPED = "failed", "stopped"  # It was done as asked and did not succeed, or we have ended it.
UNKNOWN = "unknown"  # It may have been done, and there is no way to look: people decide whether it is done again.

STATUSES = {RATE_LIMITED: 503, UNAVAILABLE: 503, CIRCUIT_OPEN: 503, TIMED_OUT: 504}
AWAY = frozenset({RATE_LIMITED, UNAVAILABLE, TIMED_OUT, CIRCUIT_OPEN})  # It does not answer now, whoever asks for what.
# Asking again later may help; with everything else it never does.
MAY_PASS = AWAY | {BAD_ANSWER, UNCLEAR}


class ForeignError(WindlassError):
    """A foreign system did not do what it was asked; the message says what happened and what to do about it.

    kind: one of the constants above; access: the integration (foreign.Access), if it is one; vendor_status, vendor_code and
    vendor_message: what it answered; retry_after_s: seconds before which asking again is pointless, or None.
    """

    status, code, title = 502, "foreign-unusable", "A foreign system did not do what it was asked"

    def __init__(
        self,
        detail,
        kind=UNUSABLE,
        access=None,
        vendor_status=None,
        vendor_code=None,
        vendor_message=None,
        retry_after_s=None,
    ):
        about = {
            "integration": access.name if access else None,
            "driver": access.driver if access else None,
            "vendor_status": vendor_status,
            "vendor_code": vendor_code,
            "vendor_message": vendor_message,
            "retry_after_s": retry_after_s,
        }
        super().__init__(detail, f"foreign-{kind}", **{name: value for name, value in about.items() if value is not None})
        self.kind = kind
        self.status = STATUSES.get(kind, 502)
        self.system, self.driver = about["integration"], about["driver"]
        self.vendor_status, self.vendor_code, self.vendor_message = vendor_status, vendor_code, vendor_message
        self.retry_after_s = retry_after_s

    @property
    def is_away(self):
        """Whether the system does not answer for now; its message, if any, is not about the request."""
        return self.kind in AWAY

    @property
    def may_pass(self):
        """Whether asking again later may help; wrong credentials, say, get no better by being repeated."""
        return self.kind in MAY_PASS


class Unclear(ForeignError):
    """A request that changes something was sent and its answer was lost: look up what became of it before repeating it."""

    def __init__(self, detail, access=None, **about):
        super().__init__(detail, UNCLEAR, access, **about)
