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
ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")


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
            raise BadDescription(
                f"Procfile, line {number}: write a process as 'name: command', such as 'web: gunicorn app:app'."
            )
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
                f"did you mean '{prefix}{near}'?"
                if near
                else f"known are {', '.join(sorted(prefix + name for name in keys))}."
            )
            yield f"There is no key '{prefix}{key}'; {hint}"
            continue
        yield from keys[key](prefix + key, value)


def _whole_number(least, most):
    def check(name, value):
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            yield f"'{name}' must be a whole number from {least} to {most}."

    return check


def _text(pattern, wanted):
    def check(name, value):
        if not isinstance(value, str) or len(value) > 500 or not pattern.fullmatch(value):
            yield f"'{name}' must be {wanted}."

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
    wanted = next((line for line in lines if line and not line.startswith("#")), None)
    if wanted is None:
        return None
    match = PYTHON_VERSION.fullmatch(wanted)
    if not match:
        raise BadDescription(
            f".python-version: '{wanted[:60]}' is no version of CPython that Windlass knows; write one such as 3.11."
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
    line that is more than programs one after the other (pipes, loops, background) is returned as it is.
    """
    command = command.strip()
    start = last_command(command)
    if start is None:
        return command
    before, line = command[:start], command[start:]
    assignments, rest = split_assignments(line)
    word = first_word(rest)
    if not word or word in RESERVED or word in BUILTIN:
        return command
    if assignments:
        names = " ".join(ASSIGNMENT.match(text)[1] for text in assignments)
        rest = rest if word == "exec" else f"exec {rest}"
        return f"{before}{' '.join(assignments)}; export {names}; {rest}"
    return command if word == "exec" else f"{before}exec {rest}"


def last_command(line):
    """Return where the last command of a line begins, or None if the line is more than commands one after the other.

    Commands are separated by `;`, `&&` and `||`; after the last of these the shell has nothing left to do.
    """
    start, position = 0, 0
    while position < len(line):
        character = line[position]
        if character in "\\'\"`$":
            position = skip_quoted(line, position)
            if position is None:
                return None
            continue
        pair = line[position : position + 2]
        if pair in ("&&", "||"):
            start = position = position + 2
            continue
        if pair in (">&", "<&"):  # Part of a redirection such as 2>&1.
            position += 2
            continue
        if character == "#" and (position == 0 or line[position - 1] in " \t;&|"):
            return None  # A comment would swallow what is put after it; such lines stay as they are.
        if character == ";":
            start = position + 1
        elif character in "&|()\n" or pair == "<<":
            return None
        position += 1
    if any(first_word(part) in RESERVED for part in re.split(r";|&&|\|\|", line)):
        return None
    while start < len(line) and line[start] in " \t":
        start += 1
    return start


def skip_quoted(line, position):
    """Return the place after a quoted or expanded part that begins at `position`, or None if it never ends."""
    character = line[position]
    if character == "\\":
        return position + 2 if position + 1 < len(line) else None
    if character == "'":
        end = line.find("'", position + 1)
        return end + 1 if end >= 0 else None
    if character == "$":
        return skip_expansion(line, position)
    position += 1
    while position < len(line):
        if line[position] == character:
            return position + 1
        if line[position] == "\\" or (line[position] in "$`" and character == '"'):
            position = skip_quoted(line, position)
            if position is None:
                return None
        else:
            position += 1
    return None


def skip_expansion(line, position):
    """Return the place after $NAME, ${…} or $(…) that begins at `position`, or None if it never ends."""
    opening = line[position + 1 : position + 2]
    closing = {"(": ")", "{": "}"}.get(opening)
    if closing is None:
        return position + 1
    depth, position = 1, position + 2
    while position < len(line) and depth:
        character = line[position]
        if character in "\\'\"`$":
            position = skip_quoted(line, position)
            if position is None:
                return None
            continue
        depth += (character == opening) - (character == closing)
        position += 1
    return position if not depth else None


def first_word(line):
    """Return a line's first word as it is written."""
    return word_end(line.lstrip(" \t"))[0]


def word_end(line):
    """Return (first word, rest) of a line that begins with a word."""
    position = 0
    while position < len(line) and line[position] not in " \t;&|<>":
        if line[position] in "\\'\"`$":
            position = skip_quoted(line, position) or len(line)
        else:
            position += 1
    return line[:position], line[position:]


def split_assignments(line):
    """Return ([NAME=value, …], rest of the line) for the assignments a command begins with."""
    assignments = []
    while ASSIGNMENT.match(line):
        word, rest = word_end(line)
        assignments.append(word)
        line = rest.lstrip(" \t")
    return assignments, line
