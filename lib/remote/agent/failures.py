"""What goes wrong on a host, and what it means to the person who has to mend it."""

import errno

from remote.agent.machine.files import free_space, user_name


class Failure(Exception):
    """What a verb ends with when it cannot be done: a stable code, a sentence, a remedy, and more fields in `detail`."""

    def __init__(self, code, message, remedy="", step=None, **detail):
        super().__init__(message)
        self.code, self.message, self.remedy, self.step, self.detail = code, message, remedy, step, detail

    def answer(self):
        """Return the "error" member of the answer."""
        return dict(self.detail, code=self.code, step=self.step, message=self.message, remedy=self.remedy)


class Aborted(Failure):
    """The controller gave up ("aborted") or is gone ("lost"), or another one goes on ("handed-over", "fenced")."""


class Fault(Exception):
    """supervisord refused a call; `code` is one of its fault codes."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code, self.text = code, text


FULL = (errno.ENOSPC, errno.EDQUOT)
DENIED = (errno.EACCES, errno.EPERM)


def failure_of(error):
    """Return the Failure that says what any exception means to the person who has to mend it."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, OSError):
        return failure_of_system(error)
    if isinstance(error, Fault):
        return Failure("supervisor-refused", f"supervisord: {error.text}", "See supervisord's log on the host.")
    if isinstance(error, KeyError):
        return Failure("bad-request", f"The request lacks {error}.", "Update Windlass.", trace=trace_of(error))
    return Failure("agent-error", f"The agent failed: {error!r}", "Report this with the trace.", trace=trace_of(error))


def trace_of(error):
    """Return the end of an exception's trace."""
    import traceback

    return "".join(traceback.format_exception(type(error), error, error.__traceback__))[-4000:]


def failure_of_system(error):
    """Return the Failure for an error of the operating system."""
    path = error.filename if isinstance(error.filename, str) else None
    where = path or "the host"
    if error.errno in FULL:
        free, inodes = free_space(path)
        what = "no inodes" if inodes == 0 else "no space"
        return Failure(
            "disk-full",
            f"There is {what} left on the disk that holds {where}.",
            "Free some space there, then deploy again; nothing needs to be cleaned up.",
            free=free,
            path=path,
        )
    if error.errno == errno.EROFS:
        return Failure(
            "read-only",
            f"{where} is on a read-only file system.",
            "Mount it writable or choose another root for this host.",
            path=path,
        )
    if error.errno in DENIED:
        return Failure(
            "permission-denied",
            f"The user {user_name()} may not write {where}.",
            "Give that user the right to write there, or log in as another one.",
            path=path,
        )
    return Failure("host-error", f"{where}: {error.strerror or error}", "See the message; then try again.", path=path)


def problem(code, message, remedy):
    """Return one item of the list of problems."""
    return {"code": code, "message": message, "remedy": remedy}
