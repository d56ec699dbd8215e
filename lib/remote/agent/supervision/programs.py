"""What all supervisors have in common: states of processes, and the files that processes are started from."""

import os

from remote.agent.failures import Failure, problem
from remote.agent.machine.files import user_name
from remote.agent.places import is_plain

UP = ("STARTING", "RUNNING")
DOWN = ("STOPPED", "EXITED", "FATAL")


def plain_file(name):
    """Return the name of a program file; raise Failure for one that could lie elsewhere."""
    if not is_plain(name):
        raise Failure("bad-request", f"'{name}' cannot be the name of a program file.")
    return name


def problems_of_programs(folder, remedy, setting):
    """Return what keeps us from writing what a supervisor starts processes from into a folder."""
    if not os.path.isdir(folder):
        return [
            problem(
                "programs-dir-missing",
                f"The folder {folder} for the supervisor's files does not exist.",
                remedy,
            )
        ]
    if not os.access(folder, os.W_OK):
        return [
            problem(
                "programs-dir-not-writable",
                f"The user {user_name()} may not write in {folder}.",
                f"Give that user the right to write there, or correct {setting} in the host's settings.",
            )
        ]
    return []


def refuse_programs(folder, remedy, setting):
    """Raise Failure when what a supervisor starts processes from cannot be written."""
    for found in problems_of_programs(folder, remedy, setting):
        raise Failure(found["code"], found["message"], found["remedy"])
