"""Requirement files: read them, refuse what a release may not take, and write them down in one normal form.

Format: pip's documentation, "Requirements File Format"; names: PEP 503; requirements: PEP 508.
"""

import posixpath
import re
import shlex
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import packaging.requirements
from packaging.requirements import InvalidRequirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from controllers.errors import BuildFailed

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
REQUIREMENT = re.compile(rf"(?P<name>{NAME.pattern})\s*(?P<extras>\[[^\]]*\])?\s*(?P<rest>.*)", re.S)
HASH = re.compile(r"--hash[= ](?P<hash>[a-z0-9]+:[0-9a-f]+)")
COMMENT = re.compile(r"(^|\s)#.*$")
LOOKS_LOCAL = re.compile(r"(\.{0,2}/|\.{1,2}$|~|[A-Za-z]:\\)|.*\.(whl|zip|tar\.gz|tgz|tar\.bz2)$")
INCLUDES = {"-r": "-r", "--requirement": "-r", "-c": "-c", "--constraint": "-c"}
PLACES = {
    "-i": "--index-url",
    "--index-url": "--index-url",
    "--pypi-url": "--index-url",
    "--extra-index-url": "--extra-index-url",
    "-f": "--find-links",
    "--find-links": "--find-links",
}
CHOICES = {"--no-binary", "--only-binary"}
WITHOUT_EFFECT = {"--require-hashes", "--prefer-binary"}
PUBLIC_INDEX = re.compile(r"https://pypi\.(python\.)?org/simple/?")
MOST_FILES = 50


@dataclass(frozen=True)
class Requirement:
    """One package to install: `specification` is version, URL and marker as written, `hashes` are sorted."""

    name: str
    extras: str
    specification: str
    hashes: tuple
    place: str

    @property
    def is_pinned(self):
        """Whether it names one version or one file."""
        constraint = self.specification.partition(";")[0].strip()
        if constraint.startswith("@"):
            return True
        specifiers = list(SpecifierSet(constraint.strip("()")))
        return len(specifiers) == 1 and specifiers[0].operator in ("==", "===") and "*" not in specifiers[0].version

    def line(self):
        """Return the requirement as a line, without hashes."""
        constraint, separator, marker = self.specification.partition(";")
        text = f"{self.name}{self.extras}{' ' if constraint.startswith('@') else ''}{constraint.strip()}"
        return f"{text} ; {marker.strip()}" if separator else text

    def text(self):
        """Return the requirement with its hashes, one a line."""
        return " \\\n".join([self.line(), *(f"    --hash={value}" for value in self.hashes)])


@dataclass
class Requirements:
    """What a requirement file and those it includes say. `files` holds the text of each by path."""

    items: list = field(default_factory=list)
    options: list = field(default_factory=list)
    files: dict = field(default_factory=dict)

    @property
    def hashed(self):
        """Those that have hashes."""
        return [item for item in self.items if item.hashes]

    def text(self):
        """Return everything in normal form: options first, then packages by name."""
        items = sorted(self.items, key=lambda item: (canonicalize_name(item.name), item.line()))
        lines = list(dict.fromkeys(self.options)) + [item.text() for item in items]
        return "".join(f"{line}\n" for line in lines)


def read(path, read_text):
    """Return the Requirements of a file and all it includes; `read_text(path)` gives a file's text or None.

    Raises BuildFailed naming file and line for what a release may not take.
    """
    found = Requirements()
    add_file(found, path, read_text, is_constraint=False)
    return found


def add_file(found, path, read_text, is_constraint):
    """Read one file into `found`; of a constraint file (`is_constraint`) only the text is kept."""
    if path in found.files:
        return
    if len(found.files) >= MOST_FILES:
        raise BuildFailed(f"The requirements include more than {MOST_FILES} files.")
    text = read_text(path)
    if text is None:
        raise BuildFailed(f"The file {path} of requirements is not in the repository.")
    found.files[path] = text
    for place, line in logical_lines(text, path):
        if line.startswith("-"):
            take_option(found, line, place, path, read_text, is_constraint)
        elif not is_constraint:
            found.items.append(parse_requirement(line, place))
        else:
            parse_requirement(line, place)


def logical_lines(text, path):
    """Yield (place, line) with comments removed and continued lines joined."""
    held, first = "", None
    for number, raw in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        first = first or number
        line = COMMENT.sub("", raw).rstrip()
        if line.endswith("\\"):
            held += line[:-1] + " "
            continue
        whole = (held + line).strip()
        if whole:
            yield f"{path}, line {first}", whole
        held, first = "", None
    if held.strip():
        yield f"{path}, line {first}", held.strip()


def take_option(found, line, place, path, read_text, is_constraint):
    """Act on an option line: include a file, keep an index, or refuse."""
    try:
        words = shlex.split(line)
    except ValueError:
        raise BuildFailed(f"{place}: the option cannot be read: {line[:80]}") from None
    name, separator, value = words[0].partition("=")
    if not separator and len(name) > 2 and name[:2] in ("-r", "-c", "-i", "-f") and not name.startswith("--"):
        name, value = name[:2], name[2:]
    value = value or (words[1] if len(words) > 1 else "")
    if name in INCLUDES:
        included = posixpath.normpath(posixpath.join(posixpath.dirname(path), value))
        if "://" in value or posixpath.isabs(value) or included.startswith("../") or not value:
            raise BuildFailed(f"{place}: only files of the repository can be included, not '{value[:80]}'.")
        add_file(found, included, read_text, is_constraint or INCLUDES[name] == "-c")
    elif name in PLACES:
        check_url(value, place)
        if not PUBLIC_INDEX.fullmatch(value):
            found.options.append(f"{PLACES[name]} {value}")
    elif name in CHOICES and re.fullmatch(r"[A-Za-z0-9:._, -]+", value):
        found.options.append(f"{name} {value}")
    elif name == "--pre":
        found.options.append("--pre")
    elif name not in WITHOUT_EFFECT:
        hint = (
            " Its code is part of the release already; list what it depends on instead." if name in ("-e", "--editable") else ""
        )
        raise BuildFailed(f"{place}: '{name}' has no place in a release.{hint}")


def parse_requirement(line, place):
    """Return the Requirement of a line; raises BuildFailed for anything but a package by name."""
    hashes = tuple(sorted(set(HASH.findall(line))))
    plain = HASH.sub("", line).strip()
    match = REQUIREMENT.fullmatch(plain)
    named = re.split("[@;]", plain, maxsplit=1)[0].strip()
    if match is None or "://" in named or LOOKS_LOCAL.match(named):
        raise BuildFailed(
            f"{place}: '{shortened(plain)}' is no package by name. A release installs packages of an index; "
            "its own code, folders and bare URLs are not installed."
        )
    rest = match["rest"].strip()
    if " --" in f" {rest}":
        raise BuildFailed(f"{place}: the option in '{shortened(plain)}' has no place in a release.")
    try:
        packaging.requirements.Requirement(plain)
    except InvalidRequirement:
        raise BuildFailed(f"{place}: '{shortened(plain)}' is no requirement: write one such as flask==3.1.0.") from None
    if rest.startswith("@"):
        check_url(rest[1:].partition(";")[0].strip(), place)
    return Requirement(match["name"], re.sub(r"\s", "", match["extras"] or ""), rest, hashes, place)


def check_url(url, place):
    """Raise BuildFailed unless a URL is one a package may come from; credentials in it would be written down with the lock."""
    parts = urlsplit(url)
    if parts.scheme.startswith("git+") or parts.scheme in ("git", "ssh"):
        raise BuildFailed(f"{place}: a package from a git repository cannot be checked by a hash; publish it to a package index.")
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise BuildFailed(f"{place}: packages come from https:// or http:// addresses only.")
    if "@" in parts.netloc:
        raise BuildFailed(
            f"{place}: credentials have no place in a repository; put them into an integration or the setting build.index_url."
        )


def shortened(text):
    """Return a text cut for a message, without what could be a password."""
    return re.sub(r"//[^/@\s]*@", "//", text)[:80]


def check_pins(found):
    """Raise BuildFailed unless every requirement has a hash and names one version."""
    for item in found.items:
        if not item.hashes:
            raise BuildFailed(
                f"{item.place}: '{item.line()[:80]}' has no hash although others have; "
                "run 'uv pip compile --generate-hashes', or leave "
                "all hashes out and let Windlass lock the versions."
            )
        if not item.is_pinned:
            raise BuildFailed(f"{item.place}: '{item.line()[:80]}' has a hash but no single version: write it with '=='.")
