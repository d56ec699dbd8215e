"""Shift the time of day of a whole Python process by $SHIFTED_BY_S seconds, as on a machine whose clock is wrong.

Python imports this module at its start when this folder is on PYTHONPATH. The steady clock stays as it is. (libfaketime would
shift C libraries as well, but breaks time.sleep() of Python 3.11, which sleeps until a time of the steady clock.)
"""

import datetime
import os
import runpy
import time
from pathlib import Path

BY_S = int(os.environ["SHIFTED_BY_S"])
right_time, right_time_ns, RightDatetime = time.time, time.time_ns, datetime.datetime


class Kind(type):
    """Every datetime is one of ours: libraries in C make the original kind."""

    def __instancecheck__(cls, value):
        return isinstance(value, RightDatetime)


class ShiftedDatetime(RightDatetime, metaclass=Kind):
    """A datetime whose now is shifted."""

    @classmethod
    def now(cls, tz=None):
        return RightDatetime.now(tz) + datetime.timedelta(seconds=BY_S)

    @classmethod
    def utcnow(cls):
        return RightDatetime.now(datetime.UTC).replace(tzinfo=None) + datetime.timedelta(seconds=BY_S)

    @classmethod
    def today(cls):
        return cls.now()


time.time = lambda: right_time() + BY_S
time.time_ns = lambda: right_time_ns() + BY_S * 1_000_000_000
datetime.datetime = ShiftedDatetime

runpy.run_path(str(Path(__file__).parent.parent.parent / "guard" / "sitecustomize.py"))
