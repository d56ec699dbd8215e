"""Which processes an application has: Procfile, windlass.json, and the shell lines they hold.

A Procfile has a line `name: command` for each process. windlass.json overrides it and says more about the release; its
schema is strict and small: docs/releases.md lists it. Commands are lines of the POSIX shell.
"""

import json
import re

from utils.stringkit import nearest

NAME = re.compile(r"[a-z][a-z0-9_-]{0,29}")
LINE = re.compile(r"([^:\s]+)\s*:\s*(.*)")
RELEASE = "release"
LONGEST_COMMAND = 4000
MOST_PROCESSES = 20
PYTHON_VERSION = re.compile(r"(?:(?:c?python)[-@]?)?(3\.\d{1,2})(?:\.\d{1,3})?")
RELATIVE_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
GROUP_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
SOCKET = re.compile(r"\$(?:SOCKET\b|\{SOCKET\b)")

# Words after which a line is no single program any more, and those the shell carries out itself.
RESERVED = frozenset((
    "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "in", "function", "select", "time",
    "!", "{", "}", "[[",
))  # fmt: skip
BUILTIN = frozenset((
    ".", ":", "break", "cd", "command", "continue", "eval", "exit", "export", "read", "readonly", "return", "set", "shift",
    "source", "times", "trap", "ulimit", "umask", "unset", "alias", "bg", "fg", "hash", "jobs", "local", "type", "wait",
))  # fmt: skip
# Programs one after the other. Quotes in substitutions, comments, here-documents and whatever else is rare match nothing.
PLAIN = r"""[^(){}'"`\\$\n]"""
INNER = rf"\({PLAIN}*\)"
for _ in range(3):  # As deep as $((2 * $(nproc) + 1)).
    INNER = rf"\((?:{PLAIN}|\$\w+|\$?{INNER})*\)"
EXPANSION = rf"\$(?:\w+|[@*#?$!-]|\{{{PLAIN}*\}}|{INNER})|`{PLAIN}*`"
QUOTED = rf"""'[^'\n]*'|"(?:[^"`\\$\n]|\\.|{EXPANSION}|\$(?![\w{{(]))*+\""""
PIECE = rf"""(?:[^ \t\n;&|<>()'"`\\$]|\\.|{QUOTED}|{EXPANSION})"""
WORD = rf"(?!\#){PIECE}++"
PROGRAM = re.compile(rf"(?:{WORD})(?:(?:[ \t]*+(?:>>|>\||>&|<&|<>|>|<(?!<))[ \t]*+|[ \t]++){WORD})*+")
PROGRAMS = re.compile(rf"(?:{PROGRAM.pattern}[ \t]*(?:;|&&|\|\|)[ \t]*)*{PROGRAM.pattern}")
ASSIGNMENTS = re.compile(rf"(?:[A-Za-z_]\w*={PIECE}*+[ \t]++)*")
ASSIGNED = re.compile(rf"(\w+)={PIECE}*+[ \t]++")
FIRST_WORD = re.compile(rf"{PIECE}*")


class BadDescription(ValueError):
    """A Procfile or windlass.json cannot be used; the message names file and place and says what to write instead."""


# Procfile.


def parse_procfile(text):
    """Return {name: command} of a Procfile's text; raises BadDescription naming the line."""
    found = {}
    for number, raw in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = LINE.fullmatch(line)
        if not match or not match[2]:
            raise BadDescription(f"Procfile, line {number}: write a process as 'name: command', such as 'web: gunicorn app:app'.")
        name, command = match[1], match[2]
        problem = problem_of(name, command)
        if problem:
            raise BadDescription(f"Procfile, line {number}: {problem}")
        if name in found:
            raise BadDescription(f"Procfile, line {number}: there is a process '{name}' already.")
        found[name] = command
    if len(found) > MOST_PROCESSES:
        raise BadDescription(f"Procfile: it has {len(found)} processes; {MOST_PROCESSES} are the most.")
    return found


def problem_of(name, command):
    """Return what is wrong with a process's name or command, or None."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        return (
            f"'{name}' is no process name: use 1 to 30 lower-case letters, digits, hyphens and underscores, "
            "beginning with a letter."
        )
    if not isinstance(command, str) or not command.strip():
        return f"the command of '{name}' must be one line of text."
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", command):
        return f"the command of '{name}' holds a line break or another control character."
    if len(command) > LONGEST_COMMAND:
        return f"the command of '{name}' is longer than {LONGEST_COMMAND} characters."
    return None


# windlass.json.


def parse_windlass_json(text):
    """Return the checked content of a windlass.json, all keys as written; raises BadDescription naming every mistake."""
    try:
        document = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=without_repetition)
    except RecursionError:
        raise BadDescription("windlass.json is nested too deeply.") from None
    except ValueError as error:
        raise BadDescription(f"windlass.json is not valid JSON: {error}.") from None
    if not isinstance(document, dict):
        raise BadDescription("windlass.json must hold one JSON object.")
    mistakes = list(mistakes_in(document, KEYS, ""))
    if mistakes:
        raise BadDescription("windlass.json: " + " ".join(mistakes))
    return document


def without_repetition(pairs):
    """Make a JSON object's dict; raises ValueError when it has a key twice, of which one would be lost."""
    names = [name for name, _ in pairs]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"the key '{min(twice)}' is there twice")
    return dict(pairs)


def mistakes_in(document, keys, prefix):
    """Yield a sentence for each key that is unknown or has a value that cannot be used."""
    for key, value in document.items():
        if key not in keys:
            near = nearest(key, keys)
            hint = (
                f"did you mean '{prefix}{near}'?" if near else f"known are {', '.join(sorted(prefix + name for name in keys))}."
            )
            yield f"There is no key '{prefix}{key}'; {hint}"
            continue
        yield from keys[key](prefix + key, value)


def _whole_number(least, most):
    def check(name, value):
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            yield f"'{name}' must be a whole number from {least} to {most}."

    return check


def _text(pattern, expected):
    def check(name, value):
        if not isinstance(value, str) or len(value) > 500 or not pattern.fullmatch(value):
            yield f"'{name}' must be {expected}."

    return check


def _command(name, value):
    problem = problem_of(RELEASE, value)
    if problem:
        yield f"'{name}': {problem}"


def _processes(name, value):
    if not isinstance(value, dict) or len(value) > MOST_PROCESSES:
        yield (
            f"'{name}' must be an object of at most {MOST_PROCESSES} commands by process name; "
            "null instead of a command removes a process of the Procfile."
        )
        return
    for process, command in value.items():
        problem = problem_of(process, "-" if command is None else command)
        if problem:
            yield f"'{name}': {problem}"


def _health(name, value):
    if not isinstance(value, dict):
        yield f'\'{name}\' must be an object such as {{"path": "/health"}}.'
        return
    yield from mistakes_in(value, HEALTH_KEYS, name + ".")


def _names(name, value):
    if not isinstance(value, list) or not all(isinstance(item, str) and GROUP_NAME.fullmatch(item) for item in value):
        yield f"'{name}' must be a list of names."


HEALTH_KEYS = {
    "path": _text(re.compile(r"/[!-~]*"), "a path such as /health"),
    "timeout_s": _whole_number(1, 3600),
    "expect_status": _whole_number(100, 599),
}
KEYS = {
    "processes": _processes,
    RELEASE: _command,
    "health": _health,
    "python": _text(PYTHON_VERSION, 'a version of Python such as "3.11"'),
    "dependencies": _text(RELATIVE_PATH, "the path of a file in the repository such as requirements/production.txt"),
    "extras": _names,
    "groups": _names,
}


def combine(*layers):
    """Return one {name: command} from several, later ones first in rank; a command of None removes the process."""
    combined = {}
    for layer in layers:
        combined.update(layer or {})
    return {name: command for name, command in combined.items() if command is not None}


def processes_of(procfile, description):
    """Return {name: command} of a release: its parsed Procfile with its parsed windlass.json on top."""
    release = {RELEASE: description[RELEASE]} if RELEASE in description else {}
    return combine(procfile, description.get("processes"), release)


def python_version_in(text):
    """Return "3.11" for the text of a .python-version file, None for an empty one; raises BadDescription for another notation."""
    lines = [line.strip() for line in text.removeprefix("\ufeff").splitlines()]
    version = next((line for line in lines if line and not line.startswith("#")), None)
    if version is None:
        return None
    match = PYTHON_VERSION.fullmatch(version)
    if not match:
        raise BadDescription(
            f".python-version: '{version[:60]}' is no version of CPython that Windlass knows; write one such as 3.11."
        )
    return match[1]


# Commands.


def binding_of(command):
    """Return how a web process is reached: "socket" when its command names $SOCKET, else "port"."""
    return "socket" if SOCKET.search(command) else "port"


def shell_line(command):
    """Return the line with `exec` before its last program where that changes nothing but who the process is.

    Then supervisord's signals reach the program itself and not a shell in front of it. `FOO=1 program` becomes
    `FOO=1; export FOO; exec program`, because an assignment before exec does not reach the program in every shell. A
    line that is more than programs one after the other (pipes, loops, background), or that is not surely that, is returned
    as it is.
    """
    command = command.strip()
    if not PROGRAMS.fullmatch(command):
        return command
    *others, last = PROGRAM.finditer(command)
    before, line = command[: last.start()], last[0]
    assignments = ASSIGNMENTS.match(line)[0]
    rest = line[len(assignments) :]
    word = FIRST_WORD.match(rest)[0]
    if word in RESERVED | BUILTIN or not word or "=" in word:
        return command
    if any(FIRST_WORD.match(other[0])[0] in RESERVED | {"trap"} for other in others):  # Whose shell has more to do.
        return command
    if word != "exec":
        rest = f"exec {rest}"
    if assignments:
        rest = f"{assignments.rstrip()}; export {' '.join(ASSIGNED.findall(assignments))}; {rest}"
        if before and not before.rstrip().endswith(";"):  # All of it is what && or || decides about.
            rest = f"{{ {rest}; }}"
    return before + rest
