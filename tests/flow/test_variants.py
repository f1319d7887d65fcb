from __future__ import annotations

from pathlib import Path

import pytest

from promptflow_lite.errors import FlowError, UserError
from promptflow_lite.flow.load import load_flow
from promptflow_lite.flow.spec import Flow
from promptflow_lite.flow.variants import choose_variants, parse_choice

TEXT = """\
nodes:
- {name: a, use_variants: true}
- {name: b, type: prompt, source: {type: code, path: own.jinja2}}
- {name: c, use_variants: true, type: python, source: {type: code, path: c.py}}
node_variants:
  a:
    default_variant_id: v1
    variants:
      v0: {node: {type: prompt, source: {type: code, path: zero.jinja2}}}
      v1: {node: {type: prompt, source: {type: code, path: one.jinja2}, inputs: {x: "${b.output}"}}}
  b:
    default_variant_id: v0
    variants:
      v0: {node: {type: prompt, source: {type: code, path: never.jinja2}}}
  c:
    default_variant_id: 0
    variants:
      0: {node: {type: python, aggregation: true, source: {type: code, path: zero.py}}}
"""


@pytest.fixture
def flow(tmp_path: Path) -> Flow:
    (tmp_path / "flow.dag.yaml").write_text(TEXT)
    return load_flow(tmp_path)


def paths(flow: Flow) -> list[str | None]:
    return [node.source.path if node.source else None for node in flow.nodes]


def test_defaults_are_taken_and_names_stay(flow: Flow) -> None:
    chosen = choose_variants(flow, {})
    assert paths(chosen) == ["one.jinja2", "own.jinja2", "zero.py"]
    assert [node.name for node in chosen.nodes] == ["a", "b", "c"]
    assert chosen.nodes[2].aggregation


def test_a_choice_takes_the_place_of_the_default(flow: Flow) -> None:
    assert paths(choose_variants(flow, {"a": "v0"})) == ["zero.jinja2", "own.jinja2", "zero.py"]


def test_choosing_again_changes_nothing(flow: Flow) -> None:
    chosen = choose_variants(flow, {"a": "v0"})
    assert choose_variants(chosen, {}) == chosen


def test_marks_point_into_the_chosen_body(flow: Flow) -> None:
    mark = choose_variants(flow, {}).at("nodes", 0, "inputs", "x")
    assert (mark.line, mark.key) == (10, "nodes[0].inputs.x")


@pytest.mark.parametrize(
    ("choice", "line"),
    [({"d": "v0"}, 1), ({"b": "v0"}, 3), ({"a": "v2"}, 8)],
    ids=["node", "no variants", "variant"],
)
def test_a_choice_that_leads_nowhere_is_told(flow: Flow, choice: dict[str, str], line: int) -> None:
    with pytest.raises(FlowError) as raised:
        choose_variants(flow, choice)
    assert [(d.code, d.mark.line) for d in raised.value.diagnostics if d.mark] == [("unknown-variant", line)]


def test_choices_are_written_as_references() -> None:
    assert parse_choice("${my node.v_1}") == ("my node", "v_1")
    for text in ("a.v1", "${a}", "${.b}", ""):
        with pytest.raises(UserError) as raised:
            parse_choice(text)
        assert raised.value.code == "bad-variant"
