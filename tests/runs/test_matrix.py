"""What a sweep varies, which runs it is, and what they have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.errors import InputError, UserError
from promptflow_lite.flow.load import load_flow
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.spec import Flow, Node
from promptflow_lite.runs.combinations import combinations, names_of, of_choice, shared_nodes
from promptflow_lite.runs.matrix import checked, of_texts, of_variants
from promptflow_lite.runs.run import Run


def _node(name: str, *sources: str, reads: str | None = None) -> Node:
    inputs: dict[str, Any] = {source: Ref.in_flow(f"${{{source}.output}}") for source in sources}
    if reads is not None:
        inputs["text"] = Ref.in_flow(f"${{inputs.{reads}}}")
    return Node(name=name, type="llm", inputs=inputs)


@st.composite
def _graphs(draw: st.DrawFn) -> tuple[Flow, dict[str, list[int]]]:
    """A flow of up to six nodes that read earlier ones and inputs, and a matrix over some of them."""
    count = draw(st.integers(1, 6))
    names = [f"n{number}" for number in range(count)]
    nodes = []
    for number, name in enumerate(names):
        sources = draw(st.sets(st.sampled_from(names[:number]))) if number else set[str]()
        nodes.append(_node(name, *sorted(sources), reads=draw(st.sampled_from([None, "x", "y"]))))
    keys = [*names, *(f"{name}.temperature" for name in names), "inputs.x", "inputs.y"]
    chosen = draw(st.lists(st.sampled_from(keys), min_size=1, max_size=4, unique=True))
    return Flow(name="flow", nodes=tuple(nodes)), {
        key: list(range(draw(st.integers(1, 3)))) for key in chosen
    }


@given(_graphs())
def test_a_node_is_shared_by_the_runs_that_choose_alike_for_it_and_all_before_it(
    case: tuple[Flow, dict[str, list[int]]],
) -> None:
    flow, matrix = case
    graph: Any = networkx.DiGraph()
    for node in flow.nodes:
        graph.add_node(node.name)
        graph.add_edges_from(
            (f"inputs.{ref.name}" if ref.scope == "inputs" else ref.name, node.name)
            for ref in node.refs().values()
        )
    choices = combinations(matrix)
    shared = [shared_nodes(flow, choice, matrix) for choice in choices]
    for node in flow.nodes:
        whole = {node.name} | networkx.ancestors(graph, node.name)
        mine = [key for key in matrix if key in whole or key.partition(".")[0] in whole]
        alike = [tuple(choice[key] for key in mine) for choice in choices]
        for one, what in zip(shared, alike, strict=True):
            assert (node.name in one) == (alike.count(what) > 1)
        if node.name in shared[0]:
            assert len({one[node.name] for one in shared}) == len(set(alike))


def test_what_a_class_is_made_with_or_which_run_is_scored_leaves_nothing_in_common() -> None:
    flow = Flow(name="flow", nodes=(_node("a"), _node("b", "a")))
    for key in ("init.model", "run"):
        matrix: dict[str, list[Any]] = {key: ["x", "y"]}
        assert shared_nodes(flow, {key: "x"}, matrix) == {}


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b.k"]), st.text(max_size=5), min_size=2), min_size=1))
def test_every_combination_has_a_name_of_its_own(choices: list[dict[str, str]]) -> None:
    names = names_of("s", choices)
    assert len({name.casefold() for name in names}) == len(choices)
    assert names == names_of("s", choices)


def test_a_choice_goes_where_its_key_says() -> None:
    asked = Run(
        name="s",
        flow="flow",
        variant="${c.v}",
        connections={"a": {"connection": "mine"}},
        column_mapping={"question": "${data.q}"},
        init={"model": {"api": "chat", "parameters": {"top_p": 1}}},
    )
    choice = {"b": "x", "a.temperature": 0.5, "inputs.tone": "dry", "init.model.parameters.temperature": 0}
    assert of_choice(asked, choice, ["a", "b", "c"]) == {
        "choice": choice,
        "variant": "${c.v} ${b.x}",
        "connections": {"a": {"connection": "mine", "temperature": 0.5}},
        "column_mapping": {"question": "${data.q}", "tone": "dry"},
        "init": {"model": {"api": "chat", "parameters": {"top_p": 1, "temperature": 0}}},
    }
    assert asked.connections == {"a": {"connection": "mine"}}  # untouched


@pytest.mark.parametrize("text", ["answer", "answer=", "=a", 'answer=["a"'])
def test_a_key_without_values_is_refused(text: str) -> None:
    with pytest.raises(UserError) as found:
        of_texts([text])
    assert found.value.code == "bad-matrix"


def test_a_key_that_comes_twice_is_refused() -> None:
    with pytest.raises(UserError, match="given twice"):
        of_texts(["a=1", "a=2"])


def test_a_variant_that_is_named_twice_is_one() -> None:
    assert of_variants(["${a.x}", "${a.x}"]) == ("${a.x}", {})


_FLEX = "entry: bot:Bot\n"
_BOT = """\
class Bot:
    def __init__(self, size: int = 1, api_key: str = ""): ...

    def __call__(self, text: str) -> str:
        return text
"""


@pytest.fixture
def flex(tmp_path: Path) -> Flow:
    (tmp_path / "flow.flex.yaml").write_text(_FLEX)
    (tmp_path / "bot.py").write_text(_BOT)
    return load_flow(tmp_path)


def test_numbers_that_a_flow_is_made_with_are_numbers() -> None:
    assert of_texts(["init.size=1,2.5,true,small"]) == {"init.size": [1, 2.5, True, "small"]}


def test_secrets_are_refused_for_a_sweep_keeps_its_values(flex: Flow) -> None:
    with pytest.raises(InputError, match="may be secrets"):
        checked({"init.api_key": ["sk-1", "sk-2"]}, flex, None)
    assert checked({"init.api_key": ["${env:A}", "${env:B}"]}, flex, None)


def test_a_sweep_has_its_limits(flex: Flow) -> None:
    with pytest.raises(InputError, match="1,089 combinations"):
        checked({"init.size": list(range(33)), "init.text": list(range(33))}, flex, None)
