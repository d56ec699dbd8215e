"""Requirement files: what is read, what no release may take, and the one form they are written down in."""

import pytest

from controllers.errors import BuildFailed
from controllers.releases.dependencies import requirements

ONE = "sha256:" + "1" * 64
TWO = "sha256:" + "2" * 64


def read(text, **others):
    """Read a requirement file's text; `others` are further files by name without ".txt"."""
    files = {"requirements.txt": text, **{f"{name}.txt": content for name, content in others.items()}}
    return requirements.read("requirements.txt", files.get)


def test_lines_comments_and_continuations():
    found = read(
        f"\ufeff# all\nFlask==3.1.0 \\\n  --hash={TWO} \\\n  --hash={ONE}  # why\n\n"
        "requests[socks] >= 2.0 ; python_version < '3.12'\nplain\n"
    )
    assert [item.line() for item in found.items] == [
        "Flask==3.1.0",
        "requests[socks]>= 2.0 ; python_version < '3.12'",
        "plain",
    ]
    assert found.items[0].hashes == (ONE, TWO)
    assert [item.is_pinned for item in found.items] == [True, False, False]


def test_normal_form_does_not_depend_on_order_or_spelling():
    one = read(f"b==1 --hash={ONE}\na==2 --hash={TWO} --hash={ONE}\n")
    two = read(f"# again\na==2   --hash={ONE} \\\n --hash={TWO} --hash={ONE}\nb==1 --hash={ONE}  # b\n")
    assert one.text() == two.text() == f"a==2 \\\n    --hash={ONE} \\\n    --hash={TWO}\nb==1 \\\n    --hash={ONE}\n"
    assert read(one.text()).text() == one.text()


def test_included_files_count_and_constraints_are_kept_apart():
    found = read("-r base.txt\n--requirement=base.txt\n-c limits.txt\nextra\n", base="flask\n-c limits.txt\n", limits="flask<4\n")
    assert [item.name for item in found.items] == ["flask", "extra"]
    assert set(found.files) == {"requirements.txt", "base.txt", "limits.txt"}


def test_included_files_are_found_beside_the_file_that_names_them():
    files = {
        "requirements/production.txt": "-r base.txt\n-r ../common.txt\n",
        "requirements/base.txt": "a\n",
        "common.txt": "b\n",
    }
    found = requirements.read("requirements/production.txt", files.get)
    assert [item.name for item in found.items] == ["a", "b"]


def test_indexes_are_kept_and_the_public_one_is_the_default():
    found = read(
        "-i https://pypi.org/simple\n--extra-index-url https://packages.example.net/simple/\n-fhttps://h/links\n--only-binary=:all:\n--pre\n--require-hashes\nx\n"
    )
    assert found.options == [
        "--extra-index-url https://packages.example.net/simple/",
        "--find-links https://h/links",
        "--only-binary :all:",
        "--pre",
    ]


@pytest.mark.parametrize(
    "text, says",
    [
        ("-e .", "Its code is part of the release already"),
        ("--editable=git+https://h/x#egg=x", "Its code is part of the release already"),
        (".", "no package by name"),
        ("./lib", "no package by name"),
        ("../x", "no package by name"),
        ("/srv/x", "no package by name"),
        ("lib/x.whl", "no package by name"),
        ("https://h/x-1.0-py3-none-any.whl", "no package by name"),
        ("file:///etc/passwd", "no package by name"),
        ("git+https://h/x", "no package by name"),
        ("x @ git+https://h/x@main", "cannot be checked by a hash"),
        ("x @ file:///srv/x", "https:// or http://"),
        ("x @ https://me:pw@h/x.whl", "credentials have no place"),
        ("-i https://me:pw@h/simple", "credentials have no place"),
        ("-i file:///srv/simple", "https:// or http://"),
        ("-f /srv/links", "https:// or http://"),
        ("-r https://h/other.txt", "only files of the repository"),
        ("-r /etc/passwd", "only files of the repository"),
        ("-r ../../etc/passwd", "only files of the repository"),
        ("-r missing.txt", "not in the repository"),
        ("-r", "only files of the repository"),
        ("--trusted-host h", "'--trusted-host' has no place"),
        ("--config-settings a=b", "has no place"),
        ("x --config-settings a=b", "has no place"),
        ("x --no-binary", "has no place"),
        ("'unfinished", "no package by name"),
        ("-i 'unfinished", "cannot be read"),
        ("x y", "no requirement"),
        ("x >= one two", "no requirement"),
        ("x==1 ; python_versoin < '3'", "no requirement"),
        ("==1.0", "no package by name"),
    ],
)
def test_what_no_release_may_take_is_refused_by_place(text, says):
    with pytest.raises(BuildFailed) as caught:
        read(f"flask\n{text}\n")
    assert says in str(caught.value)
    assert "pw" not in str(caught.value)
    if "missing.txt" not in text:
        assert str(caught.value).startswith("requirements.txt, line 2:")


def test_files_that_include_each_other_end():
    assert [item.name for item in read("-r a.txt\n", a="x\n-r requirements.txt\n").items] == ["x"]


@pytest.mark.parametrize(
    "text, says",
    [
        (f"a==1 --hash={ONE}\nb==2\n", "line 2: 'b==2' has no hash although others have"),
        (f"a>=1 --hash={ONE}\n", "no single version"),
        (f"a==1.* --hash={ONE}\n", "no single version"),
        (f"a --hash={ONE}\n", "no single version"),
        (f"a==1,<2 --hash={ONE}\n", "no single version"),
    ],
)
def test_with_hashes_everything_must_be_pinned(text, says):
    with pytest.raises(BuildFailed, match=says.replace("*", r"\*")):
        requirements.check_pins(read(text))


def test_a_file_of_an_address_is_pinned_by_its_hash():
    found = read(f"x @ https://h/x-1.0-py3-none-any.whl --hash={ONE}\n")
    requirements.check_pins(found)
    assert found.text() == f"x @ https://h/x-1.0-py3-none-any.whl \\\n    --hash={ONE}\n"
    assert read(found.text()).text() == found.text()
