"""Trees arrive complete and exactly as listed, or not at all."""

import os
import struct
import zlib
from pathlib import Path

import pytest

from remote.session import AgentError, ConnectionLost
from tests.lib.remote.driver import WEB, Controller, Tree, digest_of, environment_tree, release_tree


@pytest.fixture
def opened(controller):
    """A controller with an open session."""
    controller.open(1)
    return controller


@pytest.fixture(scope="module")
def refusing(shared_host):
    """A controller with an open session in which nothing is ever accepted."""
    controller = Controller(shared_host, app="refusing")
    controller.open(1)
    yield controller
    controller.close()


def refused(controller, tree, kind="release"):
    """Ship a tree that must be refused; return the error. Nothing of it may be left."""
    with pytest.raises(AgentError) as caught:
        controller.ship(tree, kind)
    assert controller.leftovers() == []
    assert controller.ask("observe", **controller.about())["application"]["releases"] == []
    return caught.value


def test_a_release_arrives_as_it_is(opened):
    tree = Tree(
        {"web.py": WEB, "bin/run": "#!/bin/sh\n", "a/b/c.txt": "deep", "empty": "", "large": os.urandom(3_000_000)},
        links={"a/link": "../web.py", "a/folder": "b"},
    )
    assert opened.ship(tree) == 5
    path = opened.base / "releases" / tree.digest
    assert {name: (path / name).read_bytes() for name in tree.contents} == tree.contents
    assert os.readlink(path / "a" / "link") == "../web.py" and (path / "a" / "folder" / "c.txt").read_text() == "deep"
    assert os.access(path / "bin" / "run", os.X_OK)


def test_only_what_the_host_lacks_is_sent(opened):
    opened.ship(release_tree("1"))
    assert opened.ship(release_tree("2")) == 1
    assert opened.ship(release_tree("2")) == 0
    before = opened.session.bytes_sent
    opened.ship(release_tree("2"))
    assert opened.session.bytes_sent - before < 1500


def test_a_tree_of_nothing_but_known_files_needs_no_second_request(opened):
    opened.ship(Tree({"one": "1", "two": "2"}))
    tree = Tree({"renamed": "1"})
    answer = opened.ask("ship", kind="release", name=tree.digest, digest=tree.digest, blobs=[zlib.compress(tree.manifest)])
    assert answer == {"lacks": [], "complete": True}
    assert (opened.base / "releases" / tree.digest / "renamed").read_text() == "1"


def test_a_file_that_was_damaged_on_the_host_is_not_reused(opened):
    first = release_tree("1")
    opened.ship(first)
    path = opened.base / "releases" / first.digest / "package" / "data.txt"
    path.chmod(0o644)
    path.write_text("damaged")
    second = release_tree("2")
    assert opened.ship(second) == 2
    assert (opened.base / "releases" / second.digest / "package" / "data.txt").read_bytes() == second.contents["package/data.txt"]


def test_environments_share_files_and_get_the_hosts_python(opened):
    first, second = (
        Tree({"lib/a.py": "A = 1\n", "bin/tool": "#!/bin/sh\n"}),
        Tree({"lib/a.py": "A = 1\n", "lib/b.py": "B = 2\n"}),
    )
    opened.ship(first, "environment")
    assert opened.ship(second, "environment") == 1
    environments = opened.base / "envs"
    assert (environments / first.digest / "lib" / "a.py").samefile(environments / second.digest / "lib" / "a.py")
    version = opened.interpreter()["version"]
    for name in ("python", "python3", "python" + version):
        assert (environments / first.digest / "bin" / name).samefile(opened.interpreter()["path"])
    assert f"home = {os.path.dirname(opened.interpreter()['path'])}\n" in (environments / first.digest / "pyvenv.cfg").read_text()


def test_an_environment_whose_interpreter_moved_gets_it_back(opened):
    tree = environment_tree()
    opened.ship(tree, "environment")
    python = opened.base / "envs" / tree.digest / "bin" / "python"
    python.parent.chmod(0o755)
    python.unlink()
    python.symlink_to("/usr/bin/python-of-yesterday")
    assert opened.ship(tree, "environment") == 0
    assert python.samefile(opened.interpreter()["path"])


def listed(path, *rest):
    """Return a tree whose list holds one entry of our choice."""
    data = b"x"
    return Tree({}, entries=[[path, *(rest or (0o644, len(data), digest_of(data)))]])


@pytest.mark.parametrize(
    "path", ["/etc/cron.d/evil", "../evil", "a/../../evil", "a/./b", "a//b", "", ".", "..", "a/", "nul\0", "x" * 300]
)
def test_a_path_that_leads_elsewhere_is_refused(refusing, path):
    assert refused(refusing, listed(path)).code == "unsafe-path"


def test_a_path_that_is_no_text_is_refused(refusing):
    assert refused(refusing, SurrogateTree()).code == "unsafe-path"


class SurrogateTree(Tree):
    """A tree with a path that is no valid text, written as JSON would allow."""

    def __init__(self):
        super().__init__({})
        self.manifest = b'[["\\ud800",420,0,"%s"]]' % digest_of(b"").encode()
        self.digest = digest_of(self.manifest)


@pytest.mark.parametrize(
    "links",
    [
        {"link": "/etc/passwd"},
        {"link": "../elsewhere"},
        {"a/link": "../../elsewhere"},
        {"link": ""},
        {"here": ".", "d/link": "../here/.."},
        {"one": "two", "two": "one"},
        {"down": "a", "a/up": "../down/../.."},
    ],
)
def test_a_link_that_leads_elsewhere_is_refused(refusing, links):
    assert refused(refusing, Tree({"a/file": "x"}, links=links)).code == "unsafe-path"


def test_a_file_cannot_be_written_through_a_link(refusing):
    evil = [["link", "link", "a"], ["link/file", 0o644, 1, digest_of(b"x")]]
    assert refused(refusing, Tree({}, entries=evil)).code == "unsafe-path"


@pytest.mark.parametrize(
    "entry",
    [
        ["f", 0o4755, 1, digest_of(b"x")],
        ["f", 0o644, -1, digest_of(b"x")],
        ["f", 0o644, 1, "../../x"],
        ["f", 0o666, 1, "0" * 64],
    ],
)
def test_a_mode_size_or_digest_that_cannot_be_is_refused(refusing, entry):
    assert refused(refusing, Tree({}, entries=[entry])).code == "unsafe-path"


@pytest.mark.parametrize("path", ["bin/python", "bin/python3", "pyvenv.cfg"])
def test_an_environment_may_not_bring_its_interpreter(refusing, path):
    assert refused(refusing, Tree({path: "#!/bin/sh\nevil\n"}), "environment").code == "unsafe-path"


def test_a_list_that_is_not_the_announced_one_is_refused(refusing):
    tree = release_tree("1")
    tree.manifest = tree.manifest.replace(b"web.py", b"wob.py")
    assert refused(refusing, tree).code == "bad-transfer"


@pytest.mark.parametrize("name", ["../../x", "x", "", "0" * 63, "G" * 64])
def test_a_name_that_is_no_digest_is_refused(refusing, name):
    tree = release_tree("1")
    with pytest.raises(AgentError) as caught:
        refusing.ask("ship", kind="release", name=name, digest=tree.digest, blobs=[zlib.compress(tree.manifest)])
    assert caught.value.code == "bad-request"


def send_files(controller, tree, stream):
    """Ship a tree with a stream of our choice for its files; return the error."""
    answer = controller.ask("ship", kind="release", name=tree.digest, digest=tree.digest, blobs=[zlib.compress(tree.manifest)])
    assert not answer["complete"]
    with pytest.raises(AgentError) as caught:
        controller.ask("files", blobs=stream(answer["lacks"]))
    assert controller.leftovers() == []
    return caught.value


def framed(data):
    """Return packed data with its length."""
    return struct.pack(">Q", len(data)) + data


@pytest.mark.parametrize(
    "stream",
    [
        lambda lacks: [framed(zlib.compress(b"evil"))],
        lambda lacks: [framed(b"no zlib data at all")],
        lambda lacks: [framed(zlib.compress(b"12345")[:-3])],
        lambda lacks: [framed(zlib.compress(b"\0" * 50_000_000))],
        lambda lacks: [struct.pack(">Q", 1 << 40) + b"little"],
        lambda lacks: [b""],
        lambda lacks: [framed(zlib.compress(b"12345")), framed(zlib.compress(b"more"))],
    ],
    ids=["other content", "not zlib", "cut short", "bomb", "too long", "nothing", "too many"],
)
def test_damaged_content_leaves_nothing_and_the_session_usable(opened, stream):
    tree = Tree({"file": "12345"})
    assert send_files(opened, tree, stream).code == "bad-transfer"
    assert opened.ship(tree) == 1
    assert (opened.base / "releases" / tree.digest / "file").read_text() == "12345"


def test_a_transfer_that_breaks_off_leaves_nothing(opened):
    tree = Tree({"one": os.urandom(2_000_000), "two": os.urandom(2_000_000)})

    def breaking():
        yield from list(tree.blobs([0]))
        raise OSError("the network is gone")

    answer = opened.ask("ship", kind="release", name=tree.digest, digest=tree.digest, blobs=[zlib.compress(tree.manifest)])
    assert answer["lacks"] == [0, 1]
    with pytest.raises(OSError, match="network"):
        opened.ask("files", blobs=breaking())
    opened.session.process.wait(30)
    assert opened.leftovers() == []
    with pytest.raises(ConnectionLost):
        opened.ask("ship", kind="release", name=tree.digest, digest=tree.digest, blobs=[])


def test_cancelling_a_transfer(opened):
    tree = Tree({"one": os.urandom(2_000_000), "two": os.urandom(2_000_000)})
    opened.ask("ship", kind="release", name=tree.digest, digest=tree.digest, blobs=[zlib.compress(tree.manifest)])

    def cancelled():
        yield from list(tree.blobs([0]))
        opened.session.abort()
        yield from tree.blobs([1])

    with pytest.raises(AgentError) as caught:
        opened.ask("files", blobs=cancelled())
    assert caught.value.code == "aborted"
    opened.session.process.wait(30)
    assert opened.leftovers() == [] and not Path(opened.base / "releases" / tree.digest).exists()


def test_progress_is_told(opened):
    tree = Tree({"file": os.urandom(500_000)})
    opened.ship(tree)
    progress = [event for event in opened.events if event["event"] == "progress"]
    assert progress[-1] == {"event": "progress", "step": "ship", "done": 500_000, "total": 500_000}


def test_a_complete_tree_is_what_its_list_says(opened):
    tree = release_tree("1")
    opened.ship(tree)
    spec = opened.prepare("1", tree=tree)
    opened.activate(spec)
    assert opened.ask("observe", **opened.about(), deep=True)["application"]["damaged"] == []
    path = opened.base / "releases" / tree.digest / "version.txt"
    path.chmod(0o644)
    path.write_text("tampered")
    damaged = opened.ask("observe", **opened.about(), deep=True)["application"]["damaged"]
    assert damaged == [["release", tree.digest, "version.txt"]]


def test_each_step_of_a_deploy_begins_once_and_ends_once(controller):
    controller.deploy("1")
    said = [(event["step"], event["state"]) for event in controller.events if event["event"] == "step"]
    expected = ("preflight", "ship", "environment", "configure", "start", "check", "switch", "drain", "clean")
    assert [step for step, state in said if state == "running"] == list(expected)
    assert [step for step, state in said if state != "running"] == list(expected)


def test_a_damaged_tree_is_mended_from_what_is_right_and_what_is_sent(opened):
    tree = release_tree("1")
    opened.ship(tree)
    opened.activate(opened.prepare("1", tree=tree))
    folder = opened.base / "releases" / tree.digest
    folder.chmod(0o755)
    (folder / "version.txt").unlink()
    seen = opened.ask("observe", **opened.about(), texts=True)["application"]
    assert seen["damaged"] == [["release", tree.digest, "version.txt"]], "a look at the folder is enough for that"
    about = {"kind": "release", "name": tree.digest, "digest": tree.digest}
    assert opened.ask("ship", **about, blobs=[zlib.compress(tree.manifest)])["complete"], "nobody asked for more"
    answer = opened.ask("ship", **about, mend=True, blobs=[zlib.compress(tree.manifest)])
    assert len(answer["lacks"]) == 1
    opened.ask("files", blobs=tree.blobs(answer["lacks"]))
    assert opened.ask("observe", **opened.about(), deep=True)["application"]["damaged"] == []
    assert opened.leftovers() == []
    assert opened.ask("ship", **about, mend=True, blobs=[zlib.compress(tree.manifest)])["complete"], "whole again"
