"""dev.py: what stands in the way of a start is named before anything starts, or out of the part that gave up."""

import types

import pytest

from devkit import serve
from devkit.processes import Child


def settings_with(data="var", port=8080):
    return types.SimpleNamespace(data=str(data), web=types.SimpleNamespace(host="127.0.0.1", port=port))


def test_a_data_folder_is_made_and_one_that_cannot_be_is_named(tmp_path):
    serve.make_data_folder(settings_with(tmp_path / "new" / "data"))
    assert (tmp_path / "new" / "data").is_dir()
    (tmp_path / "file").write_text("x")
    for place, said in ((tmp_path / "file", "it is no folder"), ("/proc/windlass", "No such file")):
        with pytest.raises(serve.StartError, match=said) as refused:
            serve.make_data_folder(settings_with(place))
        assert str(place) in str(refused.value) and "--data" in str(refused.value)


def test_a_port_that_does_not_exist_is_told(tmp_path):
    with pytest.raises(serve.StartError, match="from 1 to 65535"):
        serve.check_port(settings_with(port=65536))


@pytest.mark.parametrize(
    "wrote, said",
    [
        ("one\\ntwo", "one\ntwo"),
        ("one\\n2026 critical web x: It does not start.\\ntwo", "2026 critical web x: It does not start."),
    ],
)
def test_a_part_that_gave_up_is_quoted_with_its_reason(tmp_path, wrote, said):
    (tmp_path / "part.log").write_text("of an earlier start, critical too\n")
    child = Child("part", ["printf", wrote], tmp_path, {"PATH": "/usr/bin:/bin"}, None)
    child.process.wait(60)
    assert child.is_dead() and child.tail() == said
