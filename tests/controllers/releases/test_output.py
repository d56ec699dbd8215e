"""A build's output: masked, in batches, within bounds."""

import pytest

from controllers import events
from controllers.releases import output
from masking import Masker, mask_urls


@pytest.fixture
def taken(database, monkeypatch):
    """The batches that were written."""
    batches = []
    monkeypatch.setattr(events, "append", lambda topic, items: batches.append([item["text"] for item in items]))
    return batches


def test_lines_are_written_in_batches(taken):
    out = output.Output("release-1")
    for number in range(output.FLUSH_ITEMS * 2 + 5):
        out(str(number))
    out.flush()
    assert [text for batch in taken for text in batch] == [str(number) for number in range(output.FLUSH_ITEMS * 2 + 5)]
    assert len(taken) < 20
    out.flush()
    assert [] not in taken


def test_endless_output_is_cut(taken, monkeypatch):
    monkeypatch.setattr(output, "MOST_LINES", 10)
    out = output.Output("release-1")
    for number in range(50):
        out(str(number))
    out.flush()
    written = [text for batch in taken for text in batch]
    assert len(written) == 11 and "first 10 lines" in written[-1]


def test_secrets_are_masked_from_when_they_are_known(taken):
    out = output.Output("release-1")
    out.hide(["s3cret/value"])
    out.hide(["another-one"])
    out("s3cret/value and s3cret%2Fvalue and another-one")
    out.flush()
    assert taken[-1] == ["•••••• and •••••• and ••••••"]


@pytest.mark.parametrize(
    "text, masked",
    [
        ("https://me:pass@h/x", "https://••••••@h/x"),
        ("https://:pass@h", "https://••••••@h"),
        ("https://me@h/x", "https://me@h/x"),
        ("ssh://git@h:22/x a@b:c", "ssh://git@h:22/x a@b:c"),
        ("two https://a:b@c http://d:e@f", "two https://••••••@c http://••••••@f"),
    ],
)
def test_passwords_in_urls_are_masked(text, masked):
    assert mask_urls(text) == masked


def test_keys_of_several_lines_are_masked_line_by_line_and_short_values_are_left():
    mask = Masker(["-----BEGIN-----\nabcdefgh\nijklmnop\n", "abc", "", None])
    assert mask("x abcdefgh y") == "x •••••• y"
    assert mask("abc stays") == "abc stays"
