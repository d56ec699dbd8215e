"""README.md, CONTRIBUTING.md and docs/*.md name nothing that is not there: files, folders, links, classes, constants."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FOR_DEVELOPERS = [ROOT / name for name in ("CONTRIBUTING.md", "docs/development.md", "docs/glossary.md")]
LISTED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
FOLDERS = {path.partition("/")[0] for path in LISTED if "/" in path}
SOURCE = re.compile(r"[\w.<>-]+(/[\w.<>-]+)*\.(py|js)")
NAME = re.compile(r"([A-Z][a-z]+){2,}(?=\(|\.|$)|[A-Z_]{3,}$")  # A class, also where it is called, or a constant.
WIDEST = 120


def prose(document):
    """Return a document without its blocks of code."""
    return re.sub(r"^( *)```.*?^\1```$", "", document.read_text(encoding="utf-8"), flags=re.M | re.S)


def spans(document):
    """Return what a document's prose has in backquotes."""
    return set(re.findall(r"`([^`]+)`", prose(document)))


def is_there(path):
    """Say whether a path from the root is there; `<role>` stands for any name, and a bare file name for any file's."""
    if "/" not in path and "<" not in path:
        return any(path == each.rpartition("/")[2] for each in LISTED)
    return any(ROOT.glob(re.sub(r"<\w+>", "*", path.rstrip("/"))))


def top(path):
    """Return the first part of a path."""
    return path.split("/")[0]


def anchors(document):
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(document), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def names_in_code():
    """Return every class and every constant of a module."""
    code = "\n".join((ROOT / path).read_text(encoding="utf-8") for path in LISTED if path.endswith(".py"))
    return set(re.findall(r"^(?:class )?(\w+)(?=\(| ?[:=])", code, re.M))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_file_that_a_document_names_is_there(document):
    paths = {span for span in spans(document) if SOURCE.fullmatch(span)}
    paths |= {span for span in spans(document) if re.fullmatch(r"[\w.<>-]+/[\w.<>/-]*", span) and top(span) in FOLDERS}
    assert not sorted(path for path in paths if not is_there(path))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_within_the_project_leads_somewhere(document):
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert not wrong


@pytest.mark.parametrize("document", FOR_DEVELOPERS, ids=lambda document: document.name)
def test_every_class_and_constant_that_a_document_names_is_there(document):
    names = {match[0] for span in spans(document) if (match := NAME.match(span))}
    assert not sorted(names - names_in_code())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_prose_is_wrapped(document):
    """A line that is longer has a word that cannot be divided; tables are as wide as they need to be."""
    long = [line for line in prose(document).splitlines() if len(line) > WIDEST and not line.startswith(("|", "#"))]
    assert not [line for line in long if " " in line.strip()[:WIDEST] and not re.search(r"`[^`]{40,}`|<http", line)]


def words(part):
    """Return the first cells of the glossary's table with this heading, in their order."""
    rows = part.split("| --- |", 1)[1].split("\n\n")[0]
    return re.findall(r"^\| (.+?) \|", rows, re.M)


def test_the_glossary_has_each_word_once_and_in_order():
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    found = [word.replace("`", "").casefold() for word in words(text.split("## Pairs")[0])]
    assert len(found) > 50 and found == sorted(set(found))
