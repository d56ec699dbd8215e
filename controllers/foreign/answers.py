"""Read answers of foreign systems: systems lie, and their APIs change, so an answer that cannot be read is a ForeignError.

A driver reads an answer as its API's description has it and need not ask at every step whether it is so. What it stumbles
over then (a number where an object was promised, say) becomes the error of a bad answer here, once for all drivers.
"""

import contextlib
import functools
import inspect
import logging
import traceback

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from controllers.foreign.errors import BAD_ANSWER, ForeignError
from masking import Masker

STUMBLES = (TypeError, AttributeError, LookupError, ValueError, ArithmeticError, RecursionError)

# Marks a frozen dataclass of values that a system gave: one of another type than the field's is a ValueError.
record = dataclass(frozen=True, config=ConfigDict(strict=True))

log = logging.getLogger(__name__)


def bad_answer(access, why, who=None):
    """Return the ForeignError for an answer that cannot be used; `who` begins the sentence where there is no integration."""
    return ForeignError(f"{named(access, who)} gave an answer that cannot be used: {why}. Check its URL.", BAD_ANSWER, access)


def named(access, otherwise=None):
    """Return the integration of an Access as the beginning of a sentence."""
    return f"The integration '{access.name}'" if access.name else otherwise or "The system"


@contextlib.contextmanager
def reading(access):
    """Turn what somebody stumbles over in an answer into a ForeignError.

    It may as well be a mistake of ours, so the log has the whole of it.
    """
    try:
        yield
    except STUMBLES as error:
        if isinstance(error, OSError):  # Such as a certificate's, which is a ValueError, too: no answer was read.
            raise
        log.error(
            "%s: an answer could not be read.\n%s",
            named(access),
            Masker(access.secrets())(traceback.format_exc()),
        )
        raise bad_answer(access, f"it is not as its API promises ({type(error).__name__})") from error


def is_read_by(method):
    """Return a driver's method, also one that yields, with all it does to answers under `reading`."""

    @functools.wraps(method)
    def reads(self, *arguments, **options):
        with reading(self.access):
            return method(self, *arguments, **options)

    @functools.wraps(method)
    def yields(self, *arguments, **options):
        with reading(self.access):
            yield from method(self, *arguments, **options)

    return yields if inspect.isgeneratorfunction(method) else reads
