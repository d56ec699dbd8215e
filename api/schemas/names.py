"""The kinds of values that request bodies are made of: each a type with one clear message and a JSON Schema of its own.

Messages never repeat the value, because some values are secret.
"""

import ipaddress
import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
CONTROL_BUT_NEWLINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
PERCENT = re.compile(r"(100|[1-9]?[0-9])%")
LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def text(pattern, message, longest, shortest=1):
    """Return a string type: the whole value must match `pattern` and be `shortest` to `longest` characters long."""
    compiled = re.compile(pattern)

    def check(value):
        if not shortest <= len(value) <= longest or not compiled.fullmatch(value):
            raise ValueError(message)
        return value

    schema = {"type": "string", "pattern": f"^(?:{pattern})$", "minLength": shortest, "maxLength": longest}
    return Annotated[str, AfterValidator(check), WithJsonSchema(schema)]


def checked(check, schema):
    """Return a type for any JSON value that `check(value)` returns or refuses; `schema` is its JSON Schema."""
    return Annotated[Any, AfterValidator(check), WithJsonSchema(schema)]


def unique(items):
    """Return a list without repetitions, in its order."""
    return list(dict.fromkeys(items))


Name = text(r"[a-z0-9][a-z0-9-]*", "Use 1 to 40 lower-case letters, digits and hyphens, beginning with a letter or digit.", 40)
HostName = text(
    r"[a-z0-9]([a-z0-9-]|\.(?=[a-z0-9]))*",
    "Use 1 to 100 lower-case letters, digits, hyphens and dots, such as web-1 or web-1.example.net.",
    100,
)
ProcessName = text(
    r"[a-z][a-z0-9_-]*", "Use 1 to 30 lower-case letters, digits, hyphens and underscores, beginning with a letter.", 30
)
VariableName = text(r"[A-Za-z_][A-Za-z0-9_]*", "Use 1 to 100 letters, digits and underscores, not beginning with a digit.", 100)
Tag = text(
    r"[a-z0-9][a-z0-9._:=-]*",
    "Use 1 to 50 lower-case letters, digits and . _ : = -, beginning with a letter or digit.",
    50,
)
UserName = text(
    r"[A-Za-z_][A-Za-z0-9_.-]*",
    "Use the name of a user on the host: letters, digits and _ . -, not beginning with a digit or a hyphen.",
    32,
)
Program = text(
    r"[A-Za-z0-9_./][A-Za-z0-9_./+-]*",
    "Use a program's name or path, such as python3 or /usr/local/bin/python3.12.",
    200,
)
HealthPath = text(r"/[!-~]*", "Use a path that begins with / and has no spaces, such as /health.", 500)


def folder(value):
    """Check an absolute path that has one spelling only; it becomes part of commands and configuration files."""
    parts = value.split("/")[1:]
    safe = re.fullmatch(r"(/[A-Za-z0-9._@+=-]+)+", value)
    if not safe or len(value) > 200 or "." in parts or ".." in parts:
        raise ValueError(
            "Use an absolute path below /, such as /srv/windlass: "
            "letters, digits and . _ @ + = - in its names, no '..', no '/' at the end."
        )
    return value


Folder = Annotated[
    str, AfterValidator(folder), Field(json_schema_extra={"pattern": "^(/[A-Za-z0-9._@+=-]+)+$", "maxLength": 200})
]


def units_folder(value):
    """Check the folder of systemd's unit files: an absolute path, or one below the user's home."""
    return "~" + folder(value[1:]) if value.startswith("~/") else folder(value)


UnitsFolder = Annotated[
    str,
    AfterValidator(units_folder),
    Field(json_schema_extra={"pattern": "^~?(/[A-Za-z0-9._@+=-]+)+$", "maxLength": 201}),
]


def is_host_name(value):
    """Say whether this is a DNS name; one whose last label is a number would be taken for an address."""
    labels = value.removesuffix(".").split(".")
    return len(value) <= 253 and all(LABEL.fullmatch(label) for label in labels) and not labels[-1].isdigit()


def address(value):
    """Check a host name or an IPv4 or IPv6 address."""
    try:
        return str(ipaddress.ip_address(value)) if "%" not in value else _no_address()
    except ValueError:
        return value if is_host_name(value) else _no_address()


def _no_address():
    raise ValueError("Use a host name such as web-1.example.net or an IP address.")


def server_name(value):
    """Check a name under which nginx serves: a host name, or one whose first label is *."""
    if not is_host_name(value.removeprefix("*.")) or value.endswith(".") or "_" in value:
        raise ValueError("Use a host name such as www.example.net or *.example.net.")
    return value.lower()


def listen(value):
    """Check what nginx listens on: a port, or an address and a port."""
    where, separator, port = value.rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError("Use a port such as 80, or an address and a port such as 10.0.0.1:8080 or [::1]:8080.")
    if separator and where != "*":
        try:
            ipaddress.ip_address(where[1:-1] if where.startswith("[") and where.endswith("]") else where.replace(":", "!"))
        except ValueError:
            raise ValueError("Use an IP address before the port, IPv6 in brackets: 10.0.0.1:8080 or [::1]:8080.") from None
    return value


Address = Annotated[str, AfterValidator(address), Field(json_schema_extra={"examples": ["web-1.example.net", "10.0.0.5"]})]
ServerName = Annotated[str, AfterValidator(server_name), Field(json_schema_extra={"examples": ["www.example.net"]})]
Listen = Annotated[str, AfterValidator(listen), Field(json_schema_extra={"examples": ["80", "10.0.0.1:8080"]})]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[int, Field(ge=0, le=86_400)]


def argument(value):
    """Check one word of a command that is run without a shell."""
    if not value or CONTROL.search(value):
        raise ValueError("Each word of a command must be a string with at least one character and no line breaks.")
    return value


def command_line(words):
    """Check a command that is given as its words."""
    if words[0].startswith("-"):
        raise ValueError("A command begins with a program, not with an option.")
    return words


Argument = Annotated[str, StringConstraints(max_length=500), AfterValidator(argument)]
Argv = Annotated[list[Argument], Field(min_length=1, max_length=50), AfterValidator(command_line)]


def line(value):
    """Check one line of text for people."""
    if not value.strip() or CONTROL.search(value):
        raise ValueError("Use one line of text.")
    return value.strip()


def paragraph(value):
    """Check text for people that may have several lines."""
    if CONTROL_BUT_NEWLINES.search(value):
        raise ValueError("Use plain text without control characters.")
    return value.strip()


Line = Annotated[str, StringConstraints(max_length=200), AfterValidator(line)]
Paragraph = Annotated[str, StringConstraints(max_length=2000), AfterValidator(paragraph)]
ShellLine = Annotated[str, StringConstraints(max_length=4000), AfterValidator(line)]


def share_type(least, what):
    """Return a type for a number of hosts: a whole number from `least`, or a percentage of all of them."""

    def check(value):
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= 10_000:
            return value
        if isinstance(value, str) and PERCENT.fullmatch(value) and int(value[:-1]) >= least:
            return value
        raise ValueError(f'Use {what} as a whole number from {least}, or a percentage such as "25%".')

    return checked(
        check,
        {
            "anyOf": [
                {"type": "integer", "minimum": least, "maximum": 10_000},
                {"type": "string", "pattern": "^(100|[1-9]?[0-9])%$"},
            ]
        },
    )
