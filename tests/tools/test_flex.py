"""A flex flow calls its function, or one object of its class, for every line; the class may aggregate."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.connections.base import Connection
from promptflow_lite.connections.kinds import AzureOpenAIConnection, LocalConnection, OpenAIConnection
from promptflow_lite.connections.store import Given
from promptflow_lite.engine.aggregate import aggregate
from promptflow_lite.engine.events import Chunk, Event
from promptflow_lite.engine.line import run_line
from promptflow_lite.engine.results import LineResult, Status
from promptflow_lite.errors import FlowError, InputError
from promptflow_lite.flow.init import give
from promptflow_lite.flow.load import load_flow
from promptflow_lite.tools.bind import bind, close
from promptflow_lite.tools.tool import BoundFlow

FUNCTIONS = """\
    import asyncio
    from dataclasses import dataclass


    @dataclass
    class Pair:
        left: str
        right: str


    def text(q: str = "hi"):
        return q.upper()

    def mapping(q: str = "hi"):
        return {"a": q, "b": 1}

    def fields(q: str = "hi") -> Pair:
        return Pair(q, q[::-1])

    def nothing(q: str = "hi"):
        return None

    def parts(q: str = "hi"):
        yield q
        yield "!"

    def parts_within(q: str = "hi") -> Pair:
        return Pair((c for c in q), right=q)

    def parts_in_mapping(q: str = "hi"):
        return {"a": (c for c in q)}

    async def later(q: str = "hi"):
        await asyncio.sleep(0)
        return {"a": q}

    async def parts_later(q: str = "hi"):
        yield q
        yield "!"

    async def parts_within_later(q: str = "hi"):
        async def each():
            for c in q:
                yield c
        return {"a": each()}

    def defaults(q: str, history: list = None, n: int = 2, made=len):
        return [q, history, n, made("four")]

    def typed(n: int, flag: bool, x: float, items: list):
        return [n, flag, x, items]

    def wrong():
        raise ValueError("no")

    def unwritable():
        return object()
    """

COUNTER = """\
    from promptflow.connections import AzureOpenAIConnection


    class Counter:
        def __init__(self, start: int = 0):
            self.calls = start

        def __call__(self, q: str):
            self.calls += 1
            if q == "bad":
                raise ValueError("cannot")
            return {"q": q, "n": len(q)}

        def __aggregate__(self, line_results: list) -> dict:
            return {"lines": len(line_results), "chars": sum(r.n for r in line_results),
                    "first": line_results[0]["q"], "calls": self.calls}
    """


def bound_flow(
    folder: Path,
    entry: str,
    script: str = FUNCTIONS,
    *,
    init: Mapping[str, Any] | None = None,
    more: str = "",
    connections: Mapping[str, Connection] | None = None,
) -> BoundFlow:
    folder.mkdir(exist_ok=True)
    (folder / "flow.flex.yaml").write_text(f"entry: code:{entry}\n{more}", encoding="utf-8")
    (folder / "code.py").write_text(textwrap.dedent(script), encoding="utf-8")
    return bind(give(load_flow(folder), init or {}), Given(connections or {}))


async def line_of(bound: BoundFlow, **inputs: Any) -> LineResult:
    try:
        return await run_line(bound, inputs)
    finally:
        await close(bound)


@pytest.mark.parametrize(
    ("entry", "outputs"),
    [
        ("text", {"output": "HI"}),
        ("mapping", {"a": "hi", "b": 1}),
        ("fields", {"left": "hi", "right": "ih"}),
        ("nothing", {"output": None}),
        ("parts", {"output": "hi!"}),
        ("parts_within", {"left": "hi", "right": "hi"}),
        ("parts_in_mapping", {"a": "hi"}),
        ("later", {"a": "hi"}),
        ("parts_later", {"output": "hi!"}),
        ("parts_within_later", {"a": "hi"}),
    ],
)
async def test_what_it_returns_is_the_outputs(entry: str, outputs: dict[str, Any], tmp_path: Path) -> None:
    line = await line_of(bound_flow(tmp_path, entry))
    assert (line.status, line.outputs) == (Status.Completed, outputs)


async def test_its_own_defaults_hold_where_an_input_is_left_out(tmp_path: Path) -> None:
    line = await line_of(bound_flow(tmp_path, "defaults"), q="x")
    assert line.outputs == {"output": ["x", None, 2, 4]}


async def test_inputs_become_what_the_annotations_ask_for(tmp_path: Path) -> None:
    line = await line_of(bound_flow(tmp_path, "typed"), n="3", flag="TRUE", x=1, items="[1]")
    assert line.outputs == {"output": [3, True, 1.0, [1]]}
    with pytest.raises(InputError, match=r"inputs\.n: expected an int"):
        await line_of(bound_flow(tmp_path, "typed"), n="three", flag=True, x=1, items=[])


async def test_the_parts_of_a_generator_are_told_as_they_come(tmp_path: Path) -> None:
    bound = bound_flow(tmp_path, "parts_later")
    told: list[Event] = []
    await run_line(bound, {}, stream=True, emit=told.append)
    await close(bound)
    assert [(e.text, e.outputs) for e in told if isinstance(e, Chunk)] == [
        ("hi", ("output",)),
        ("!", ("output",)),
    ]


async def test_what_it_raises_fails_the_line_with_its_frame(tmp_path: Path) -> None:
    line = await line_of(bound_flow(tmp_path, "wrong"))
    assert line.error is not None
    assert line.error.message == "ValueError: no"
    assert "code.py" in (line.error.traceback or "")


async def test_an_object_that_json_cannot_hold_is_no_output(tmp_path: Path) -> None:
    line = await line_of(bound_flow(tmp_path, "unwritable"))
    assert line.error is not None
    assert line.error.code == "output-not-serializable"


async def test_one_object_is_made_and_called_for_every_line(tmp_path: Path) -> None:
    bound = bound_flow(tmp_path, "Counter", COUNTER, init={"start": "10"})
    lines = [await run_line(bound, {"q": q}, line_number=i) for i, q in enumerate(("ab", "bad", "c"))]
    assert [line.status.value for line in lines] == ["Completed", "Failed", "Completed"]
    result = await aggregate(bound, lines)
    await close(bound)
    assert result.metrics == {"lines": 2, "chars": 3, "first": "ab", "calls": 13}


@pytest.mark.parametrize("entry", ["Async", "Sync"])
async def test_metrics_are_what_aggregate_returns(entry: str, tmp_path: Path) -> None:
    script = """\
        class Sync:
            def __call__(self, q):
                return q
            def __aggregate__(self, results):
                return {"all": "".join(results)}

        class Async(Sync):
            async def __call__(self, q):
                return q
            async def __aggregate__(self, results):
                return {"all": "".join(results)}
        """
    bound = bound_flow(tmp_path, entry, script)
    lines = [await run_line(bound, {"q": q}, line_number=i) for i, q in enumerate("ab")]
    metrics = (await aggregate(bound, lines)).metrics
    await close(bound)
    assert metrics == {"all": "ab"}


MADE_WITH = """\
    from typing import Union
    from promptflow.connections import AzureOpenAIConnection
    from promptflow.core import AzureOpenAIModelConfiguration, ModelConfiguration, OpenAIModelConfiguration


    class WithConnection:
        def __init__(self, connection: AzureOpenAIConnection):
            self.connection = connection
        def __call__(self):
            return {"name": self.connection.name, "base": self.connection.api_base}


    class WithAzure:
        def __init__(self, config: AzureOpenAIModelConfiguration):
            self.config = config
        def __call__(self):
            c = self.config
            return {"type": type(c).__name__, "deployment": c.azure_deployment, "endpoint": c.azure_endpoint,
                    "key": str(c.api_key), "connection": c.connection}


    class WithOpenAI:
        def __init__(self, config: OpenAIModelConfiguration):
            self.config = config
        def __call__(self):
            c = self.config
            return {"model": c.model, "url": c.base_url, "connection": c.connection}


    class WithEither:
        def __init__(self, config: Union[AzureOpenAIModelConfiguration, OpenAIModelConfiguration]):
            self.config = config
        def __call__(self):
            return type(self.config).__name__
    """
CONNECTIONS = {
    "az": AzureOpenAIConnection("az", api_key="key-az", api_base="http://az"),
    "oa": OpenAIConnection("oa", api_key="key-oa", base_url="http://oa"),
    "local": LocalConnection("local"),
}
AZURE = {"type": "AzureOpenAIModelConfiguration", "deployment": "d", "connection": None}


@pytest.mark.parametrize(
    ("entry", "init", "outputs"),
    [
        ("WithConnection", {"connection": "az"}, {"name": "az", "base": "http://az"}),
        (
            "WithAzure",
            {"config": {"connection": "az", "azure_deployment": "d"}},
            {**AZURE, "endpoint": "http://az", "key": "key-az"},
        ),
        (
            "WithAzure",
            {"config": '{"azure_deployment": "d", "azure_endpoint": "http://x", "api_key": "kkkk"}'},
            {**AZURE, "endpoint": "http://x", "key": "kkkk"},
        ),
        (
            "WithOpenAI",
            {"config": {"connection": "oa", "model": "m"}},
            {"model": "m", "url": "http://oa", "connection": None},
        ),
        (
            "WithOpenAI",
            {"config": {"connection": "local", "model": "m"}},
            {"model": "m", "url": None, "connection": "local"},
        ),
        (
            "WithEither",
            {"config": {"model": "m", "api_key": "k"}},
            {"output": "OpenAIModelConfiguration"},
        ),
        ("WithEither", {"config": {"azure_deployment": "m"}}, {"output": "AzureOpenAIModelConfiguration"}),
    ],
)
async def test_init_finds_connections_and_model_configurations(
    entry: str, init: dict[str, Any], outputs: dict[str, Any], tmp_path: Path
) -> None:
    line = await line_of(bound_flow(tmp_path, entry, MADE_WITH, init=init, connections=CONNECTIONS))
    assert line.outputs == outputs


@pytest.mark.parametrize(
    ("entry", "init", "code", "said"),
    [
        ("WithConnection", {}, "missing-init", "needs 'connection'"),
        ("WithConnection", {"connection": "no"}, "unknown-connection", "no"),
        ("WithConnection", {"connection": "oa"}, "wrong-type", "expected a AzureOpenAIConnection"),
        ("WithAzure", {"config": {"azure_deploymnt": "d"}}, "wrong-type", "azure_deploymnt"),
        ("WithAzure", {"config": {"connection": "no", "azure_deployment": "d"}}, "unknown-connection", "no"),
        (
            "WithAzure",
            {"config": {"connection": "az", "azure_deployment": "d", "api_key": "k"}},
            "wrong-type",
            "exclude each other",
        ),
    ],
)
async def test_what_is_wrong_with_init_is_told_before_any_line(
    entry: str, init: dict[str, Any], code: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(FlowError) as raised:
        bound_flow(tmp_path, entry, MADE_WITH, init=init, connections=CONNECTIONS)
    (found,) = raised.value.diagnostics
    assert found.code == code
    assert said in found.message


async def test_a_class_that_cannot_be_made_is_told_with_the_users_line(tmp_path: Path) -> None:
    script = (
        "class C:\n    def __init__(self):\n        raise RuntimeError('no')\n    def __call__(self): ...\n"
    )
    with pytest.raises(FlowError) as raised:
        bound_flow(tmp_path, "C", script)
    (found,) = raised.value.diagnostics
    assert found.code == "init-failed"
    assert found.mark is not None
    assert (Path(found.mark.file).name, found.mark.line) == ("code.py", 3)


async def test_what_only_the_import_tells_is_known_after_it(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("def f(a: int, b=2):\n    return a + b\n", encoding="utf-8")
    bound = bound_flow(tmp_path, "f", "from other import f\n")
    assert list(bound.flow.inputs) == ["a", "b"]
    assert (await line_of(bound, a="1")).outputs == {"output": 3}


async def test_a_traced_function_is_called_as_it_is(tmp_path: Path) -> None:
    script = "from promptflow.tracing import trace\n\n\n@trace\ndef f(a: int):\n    return a\n"
    assert (await line_of(bound_flow(tmp_path, "f", script), a="1")).outputs == {"output": 1}


async def test_two_flows_may_have_modules_of_one_name(tmp_path: Path) -> None:
    first = bound_flow(tmp_path / "1", "f", "NAME = 1\n\n\ndef f():\n    return NAME\n")
    second = bound_flow(tmp_path / "2", "f", "NAME = 2\n\n\ndef f():\n    return NAME\n")
    assert (await line_of(first)).outputs == {"output": 1}
    assert (await line_of(second)).outputs == {"output": 2}


async def test_an_edited_script_is_imported_anew(tmp_path: Path) -> None:
    assert (await line_of(bound_flow(tmp_path, "f", "def f():\n    return 1\n"))).outputs == {"output": 1}
    changed = "def f():\n    return 'changed'\n"
    assert (await line_of(bound_flow(tmp_path, "f", changed))).outputs == {"output": "changed"}


async def test_its_environment_variables_are_set_while_it_is_made(tmp_path: Path) -> None:
    script = "import os\n\nSEEN = os.environ['MOOD']\n\n\ndef f():\n    return SEEN\n"
    more = "environment_variables: {MOOD: calm}\n"
    assert (await line_of(bound_flow(tmp_path, "f", script, more=more))).outputs == {"output": "calm"}
