"""The scripts' small pure parts, run by the browser itself: bindings, server-sent events, formats."""

import pytest

from tests.browser.standin import StandIn

IMPORT = """async ([module, run, input]) => {
    const found = await import(`/static/js/${module}.js`);
    return new Function("module", "input", run)(found, input);
}"""


@pytest.fixture(scope="module")
def run(profile):
    """Run JavaScript with a module's exports as `module`: run("lib/formats", "return module.bytes(input)", 1200)."""
    server, page = StandIn(), profile.new_page()
    page.goto(f"{server.url}/static/img/windlass.svg")  # A page of this server without a policy against evaluating.
    yield lambda module, body, value=None: page.evaluate(IMPORT, [module, body, value])
    page.close()
    server.stop()


def parsed(run, text):
    return run("lib/binding_provider", "return module.parse(input)", text)


def test_bindings_are_parsed(run):
    assert parsed(run, "text: a.b, css: {'is-x': !$parent.flag, y: true}, attr: {n: -1.5, s: 'it\\'s', z: null}") == {
        "text": {"path": ["a", "b"]},
        "css": {"object": {"is-x": {"not": {"path": ["$parent", "flag"]}}, "y": {"constant": True}}},
        "attr": {"object": {"n": {"constant": -1.5}, "s": {"constant": "it's"}, "z": {"constant": None}}},
    }
    assert parsed(run, "") == {}
    assert parsed(run, "foreach: rows,") == {"foreach": {"path": ["rows"]}}


@pytest.mark.parametrize(
    "text",
    [
        "text: alert(1)",
        "text: a + b",
        "text: a[0]",
        "text",
        "text: ",
        "a: {b: c",
        "a: {b: c,",
        "text: 'open",
        "a: b c: d",
        "text: a => a",
        "x: `a`",
    ],
)
def test_what_is_no_binding_is_refused_never_run(run, text):
    said = run(
        "lib/binding_provider",
        "try { module.parse(input); } catch (error) { return [error instanceof module.BindingSyntaxError, error.message]; }",
        text,
    )
    assert said[0] is True
    assert text.strip() in said[1]


EVALUATE = """
    const ko = { unwrap: (value) => (typeof value === "function" ? value() : value) };
    const provider = new module.SafeBindingProvider(ko);
    const node = document.createElement("p");
    node.setAttribute("data-bind", input);
    const model = { deploy: () => ({ release: "v12" }), nothing: () => null, isOn: () => true, other: undefined };
    const context = { $data: model, $index: () => 3, item: "as" };
    const accessors = provider.getBindingAccessors(node, context);
    return accessors.x() === undefined ? "undefined" : ko.unwrap(accessors.x());
"""


@pytest.mark.parametrize(
    "text, value",
    [
        ("x: deploy.release", "v12"),
        ("x: nothing.release.more", "undefined"),
        ("x: !isOn", False),
        ("x: item", "as"),
        ("x: $index", 3),
        ("x: other", "undefined"),
        ("x: 'text'", "text"),
    ],
)
def test_paths_go_through_observables_and_stop_at_nothing(run, text, value):
    assert run("lib/binding_provider", EVALUATE, text) == value


def test_unknown_name_is_a_mistake_that_is_told(run):
    with pytest.raises(Exception, match='data-bind names "typo"'):
        run("lib/binding_provider", EVALUATE, "x: typo")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_server_sent_events_are_the_same_however_they_are_cut(run, size):
    stream = (
        ': hello\r\n\r\nid: 1\nevent: output\ndata: {"a":\ndata: 1}\n\n'
        "data\n\nid: 2\rdata:no blank\r\rretry: 5\nid: 3\n\ndata: unfinished"
    )
    body = """
        const parser = new module.EventParser();
        const messages = [];
        for (let at = 0; at < input[0].length; at += input[1]) messages.push(...parser.feed(input[0].slice(at, at + input[1])));
        return messages;
    """
    assert run("api/sse", body, [stream, size]) == [
        {"id": "1", "event": "output", "data": '{"a":\n1}'},
        {"id": "1", "event": "message", "data": ""},
        {"id": "2", "event": "message", "data": "no blank"},
    ]


@pytest.mark.parametrize(
    "text, lines",
    [
        ("one\ntwo\n", ["one", "two"]),
        ("one\n\n", ["one", ""]),
        ("", [""]),
        ("crlf\r\nnext", ["crlf", "next"]),
        ("1 %\r99 %\n", ["99 %"]),
        ("\x1b[1;32mgreen\x1b[0m\tend", ["green    end"]),
        ("\x1b]8;;http://x\x1b\\link", ["link"]),
        ("a\x00b\x1bc\x9b", ["ab"]),
        ("é✓", ["é✓"]),
    ],
)
def test_output_becomes_plain_lines(run, text, lines):
    assert run("lib/formats", "return module.linesOf(input)", text) == lines


@pytest.mark.parametrize(
    "milliseconds, text",
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (4200, "4.2 s"),
        (59_960, "1:00 min"),
        (187_000, "3:07 min"),
        (7_510_000, "2:05:10 h"),
        (-5, "0 ms"),
    ],
)
def test_lengths_of_time(run, milliseconds, text):
    assert run("lib/formats", "return module.duration(input)", milliseconds) == text


@pytest.mark.parametrize(
    "then, text",
    [
        (100_000, "just now"),
        (95_000, "5 s ago"),
        (-20_000, "2 min ago"),
        (-8_000_000, "2 h ago"),
        (160_000, "in 1 min"),
        (-200_000_000, "2 d ago"),
    ],
)
def test_distances_in_time(run, then, text):
    assert run("lib/formats", "return module.ago(input, 100000)", then) == text


@pytest.mark.parametrize(
    "count, text",
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_600, "1.0 MB"),
        (26_000_000, "26 MB"),
        (4_200_000_000_000, "4200 GB"),
        (None, ""),
    ],
)
def test_sizes(run, count, text):
    assert run("lib/formats", "return module.bytes(input)", count) == text
