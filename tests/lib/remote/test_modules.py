"""The agent's modules: written for its oldest Python, imported one way, sent in one piece and only as far as they are needed."""

import ast
import graphlib
import re
import sys

import pytest

from remote.local import open_local
from remote.session import READS, AgentError, agent_bytecode, agent_modules, agent_source, framed
from tests.lib.remote.driver import OLDEST, packed

NOTHING = {"python": "python3", "nginx": None, "supervisor": {"programs": "/nowhere", "command": ["/nowhere"]}}
FOR_OTHER_VERBS = (
    "one_off",
    "releases.activation",
    "releases.maintenance",
    "releases.shipping",
    "releases.withdrawal",
    "supervision.systemd",
    "tidying",
)


def imported(tree):
    """Return the names of the modules that a module imports, those that it imports on use included."""
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def test_they_are_written_in_the_language_of_their_oldest_python():
    trees = [ast.parse(source, feature_version=OLDEST) for source in agent_modules().values()]
    later = {"removeprefix", "removesuffix", "is_relative_to", "pidfd_open", "zip_strict", "waitstatus_to_exitcode"}
    used = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert used and used & later == set()


def test_they_need_each_other_one_way_and_else_the_standard_library():
    needs = {name: imported(ast.parse(source)) for name, source in agent_modules().items()}
    foreign = {other for others in needs.values() for other in others} - needs.keys()
    assert {name.split(".")[0] for name in foreign} <= sys.stdlib_module_names
    in_order = list(graphlib.TopologicalSorter(needs).static_order())  # Raises CycleError for a enqueue.
    assert in_order[-1] == "remote.agent.serving"


def test_looking_runs_no_module_that_only_other_verbs_need():
    modules = agent_modules()
    for name in FOR_OTHER_VERBS:
        assert modules[f"remote.agent.{name}"]
        modules[f"remote.agent.{name}"] = "raise RuntimeError('imported')"
    with open_local(sys.executable, code=lambda _reads: packed(modules)) as session:
        seen = session.request("observe", root="/nowhere", app="shop", settings=NOTHING)
        assert seen["application"]["current"] is None
        with pytest.raises(AgentError, match="imported"):
            session.request("run", root="/nowhere", app=None, settings=NOTHING)


@pytest.mark.parametrize("form, data", [("source", agent_source), ("bytecode", agent_bytecode)])
def test_a_trace_names_module_and_line(form, data):
    reads = []

    def code(said):
        reads.append(said)
        return framed(form, data())

    with open_local(sys.executable, code=code) as session, pytest.raises(AgentError) as caught:
        session.request("observe", root="/nowhere", app="shop", settings="no settings")
    assert (caught.value.code, reads) == ("agent-error", [READS])
    places = re.findall(r'File "<(remote[.]agent[.]\w+)>", line (\d+), in (\w+)', caught.value.detail["trace"])
    assert [(name, function) for name, _, function in places] == [
        ("remote.agent.serving", "serve"),
        ("remote.agent.serving", "observe"),
        ("remote.agent.hosts", "__init__"),
    ]
    name, line, _ = places[-1]
    assert 'self.settings["supervisor"]' in agent_modules()[name].splitlines()[int(line) - 1]
