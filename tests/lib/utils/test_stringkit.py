"""Texts that people typed."""

import pytest

from utils.stringkit import nearest, version_key


def test_versions_are_ordered_as_people_count():
    ordered = ["0.9", "1.0rc1", "1.0", "1.0.1rc1", "1.0.1", "1.2", "1.10", "v2", "10.0.0.1"]
    shuffled = ordered[1::2] + ordered[::2]
    assert sorted(shuffled, key=version_key) == ordered


def test_the_same_version_in_other_words():
    assert version_key("1") == version_key("1.0.0") == version_key(" v1.0 ")
    assert version_key("1.0.post1") >= version_key("1.0") and version_key("1.0+local") == version_key("1.0")


@pytest.mark.parametrize("text", ["", "newest", "-1", ".5", "v", "1" * 20])
def test_what_is_no_version(text):
    assert version_key(text) is None


def test_the_word_that_was_meant():
    assert nearest("reqirements", ["requirements", "processes"]) == "requirements"
    assert nearest("zebra", ["requirements", "processes"]) is None
