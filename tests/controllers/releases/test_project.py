"""What a tree says about its application: files are found, followed and refused."""

import json

import pytest

import store
from controllers.errors import BuildFailed
from controllers.releases import project


def tree(files):
    """Put {path: text} into the store (a tuple ("->", target) is a link); returns the digest."""
    entries = []
    for path, text in files.items():
        if isinstance(text, tuple):
            entries.append([path, "link", text[1]])
        else:
            sha256, size = store.add_bytes(text if isinstance(text, bytes) else text.encode())
            entries.append([path, 0o644, size, sha256])
    return store.add_manifest(entries)


@pytest.fixture(autouse=True)
def own_store(settings):
    """A store of the test's own."""


def test_everything_is_read():
    found = project.read(
        tree(
            {
                "Procfile": "web: serve $SOCKET\nworker: work\n",
                ".python-version": "3.12.1\n",
                "requirements.txt": "flask",
                "windlass.json": json.dumps(
                    {"processes": {"worker": None}, "release": "migrate", "health": {"path": "/up"}, "extras": ["a"]}
                ),
            }
        )
    )
    assert found.processes == {"web": "serve $SOCKET", "release": "migrate"}
    assert (found.python, found.dependencies) == ("3.12", "requirements.txt")
    assert found.settings == {"health": {"path": "/up"}, "extras": ["a"]}


def test_windlass_json_chooses_the_python_version():
    assert project.read(tree({"windlass.json": '{"python": "3.10"}', ".python-version": "3.12"})).python == "3.10"


def test_an_empty_tree_is_an_application_without_anything():
    found = project.read(tree({}))
    assert (found.processes, found.python, found.dependencies) == ({}, None, None)
    assert any("no Procfile" in note for note in found.notes) and any("virtualenv is empty" in note for note in found.notes)


@pytest.mark.parametrize(
    "files, chosen",
    [
        (["uv.lock", "pyproject.toml", "requirements.txt", "pylock.toml"], "uv.lock"),
        (["pylock.toml", "requirements.txt"], "pylock.toml"),
        (["requirements.txt", "pyproject.toml"], "requirements.txt"),
        (["pyproject.toml"], "pyproject.toml"),
    ],
)
def test_which_file_names_the_dependencies(files, chosen):
    content = '[project]\nname = "x"\ndependencies = ["flask"]\n'
    assert project.read(tree(dict.fromkeys(files, content))).dependencies == chosen


def test_windlass_json_chooses_the_file():
    files = {
        "windlass.json": '{"dependencies": "deploy/pylock.prod.toml"}',
        "deploy/pylock.prod.toml": "",
        "uv.lock": "",
    }
    found = project.read(tree(files))
    assert found.dependencies == "deploy/pylock.prod.toml"
    assert any("uv.lock is not used" in note for note in found.notes)


@pytest.mark.parametrize(
    "files, says",
    [
        (
            {"windlass.json": '{"dependencies": "missing.txt"}'},
            "'missing.txt' of dependencies is not in the repository",
        ),
        ({"windlass.json": '{"dependencies": "a.cfg"}', "a.cfg": ""}, "no file of dependencies that Windlass reads"),
        ({"windlass.json": "{"}, "windlass.json is not valid JSON"),
        ({"Procfile": "oops"}, "Procfile, line 1"),
        ({".python-version": "pypy"}, ".python-version"),
        ({"Procfile": b"web: caf\xe9"}, "Procfile is not UTF-8"),
        ({"poetry.lock": ""}, "does not read poetry.lock.*poetry export"),
        ({"Pipfile.lock": ""}, "does not read Pipfile.lock"),
        ({"pyproject.toml": "[project"}, "pyproject.toml is not valid TOML"),
        ({"pyproject.toml": '[project]\nname = "x"\ndynamic = ["dependencies"]\n'}, "dynamic dependencies"),
    ],
)
def test_what_cannot_be_used_is_told(files, says):
    with pytest.raises(BuildFailed, match=says):
        project.read(tree(files))


def test_a_pyproject_without_dependencies_is_none():
    for text in ("[tool.ruff]\nline-length = 100\n", "project = 5\n", '[project]\nname = "x"\ndependencies = []\n'):
        assert project.read(tree({"pyproject.toml": text})).dependencies is None


def test_links_inside_the_tree_are_followed():
    found = project.read(tree({"Procfile": ("->", "deploy/Procfile"), "deploy/Procfile": ("->", "../real"), "real": "web: x"}))
    assert found.processes == {"web": "x"}


def test_links_in_a_circle_are_nothing():
    assert project.read(tree({"Procfile": ("->", "Procfile")})).processes == {}


def test_a_huge_file_is_not_read(monkeypatch):
    monkeypatch.setattr(project, "LARGEST_FILE", 10)
    with pytest.raises(BuildFailed, match="larger than"):
        project.read(tree({"Procfile": "web: " + "x" * 20}))


def test_the_lowest_python_is_known_where_it_is_plain():
    for requires, lowest in (
        (">=3.12", "3.12"),
        (">= 3.9, <4", "3.9"),
        ("~=3.10", "3.10"),
        ("~=3.10.2", "3.10"),
        (">=3.8,>=3.11.1", "3.11"),
        ("!=3.9.*,==3.11.*", "3.11"),
        ("<4", None),
        ("three", None),
        (5, None),
    ):
        text = f'[project]\nname = "x"\nrequires-python = {json.dumps(requires)}\n'
        assert project.read(tree({"pyproject.toml": text})).lowest_python == lowest


def test_scripts_of_the_project_itself_are_told():
    found = project.read(tree({"pyproject.toml": '[project]\nname = "x"\n[project.scripts]\nshop = "shop:main"\n'}))
    assert any("scripts (shop)" in note for note in found.notes)
