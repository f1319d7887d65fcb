from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.errors import FlowError
from promptflow_lite.flow.graph import Edge, cycles, digraph, edges, order, to_json
from promptflow_lite.flow.pictures import to_mermaid, to_svg, to_tree
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.spec import Activate, Flow, FlowInput, FlowOutput, Node, Source


def node(name: str, *sources: str, when: str | None = None) -> Node:
    activate = Activate(Ref("node", when), True) if when else None
    inputs = {f"x{i}": Ref("node", source) for i, source in enumerate(sources)}
    return Node(
        name=name, type="python", source=Source("code", f"{name}.py"), inputs=inputs, activate=activate
    )


def flow(*nodes: Node) -> Flow:
    return Flow(
        "demo",
        inputs={"質問": FlowInput("string", is_chat_input=True)},
        outputs={"<y>": FlowOutput("string", Ref("node", nodes[-1].name))} if nodes else {},
        nodes=nodes,
    )


def test_the_order_of_the_file_is_kept_where_it_can_be() -> None:
    assert order(flow(node("a"), node("b", "a"), node("c"))) == ["a", "b", "c"]
    assert order(flow(node("c", "b"), node("a"), node("b", "a"))) == ["a", "b", "c"]
    assert order(flow(node("b", when="z"), node("z"))) == ["z", "b"]
    assert order(flow(node("a", "nowhere"))) == ["a"]


@st.composite
def graphs(draw: st.DrawFn) -> Flow:
    names = [f"n{i}" for i in range(draw(st.integers(0, 7)))]
    return flow(*(node(name, *draw(st.lists(st.sampled_from(names), max_size=3))) for name in names))


@given(graphs())
def test_the_order_puts_every_node_after_what_it_reads_or_a_cycle_is_told(any_flow: Flow) -> None:
    found = cycles(any_flow)
    if found:
        with pytest.raises(FlowError):
            order(any_flow)
        return
    rank = {name: place for place, name in enumerate(order(any_flow))}
    assert set(rank) == {n.name for n in any_flow.nodes}
    assert all(rank[source] < rank[n.name] for n in any_flow.nodes for source in n.sources())
    assert len(digraph(any_flow)) == len(rank)


def test_every_circle_is_told_from_its_first_node_on() -> None:
    looped = flow(node("a", "c"), node("b", "a"), node("c", "b"), node("d", "d"), node("e", "d"))
    assert [d.message for d in cycles(looped)] == [
        "nodes wait for each other: 'a' reads 'c' reads 'b' reads 'a'",
        "nodes wait for each other: 'd' reads 'd'",
    ]


def test_edges_carry_the_condition() -> None:
    assert edges(flow(node("a"), node("b", "a", when="a"))) == [
        Edge("a", "b", "a.output is True"),
        Edge("b", None),
    ]


def test_a_tree_shows_each_node_under_the_last_it_reads() -> None:
    shown = to_tree(flow(node("a"), node("b", "a"), node("c", "a", "b"), node("d", when="a")))
    assert shown.splitlines() == [
        "demo",
        "├─ inputs",
        "│  └─ 質問: string (chat)",
        "├─ nodes",
        "│  └─ a (python a.py)",
        "│     ├─ b (python b.py) ← a",
        "│     │  └─ c (python c.py) ← a, b",
        "│     └─ d (python d.py), if a is True",
        "└─ outputs",
        "   └─ <y> ← d",
    ]


def test_mermaid_quotes_what_would_break_it() -> None:
    shown = to_mermaid(flow(node("a"), node('b"|]', "a", when="a")))
    assert 'in(["質問"])' in shown
    assert 'n1["b#34;#124;#93;<br/>python b#34;#124;#93;.py"]' in shown
    assert 'n0 -. "a.output is True" .-> n1' in shown


@given(graphs())
def test_an_svg_is_xml_with_a_box_for_each_node_below_what_it_reads(any_flow: Flow) -> None:
    if cycles(any_flow):
        return
    root = ElementTree.fromstring(to_svg(any_flow))
    tops = {
        group[1].text: float(group[0].attrib["y"]) for group in root.iter("{http://www.w3.org/2000/svg}g")
    }
    assert "質問" in tops
    assert all(tops[n.name] > tops[source] for n in any_flow.nodes for source in n.sources())


def test_the_graph_as_data_names_inputs_nodes_outputs_and_edges() -> None:
    assert to_json(flow(node("a"))) == {
        "name": "demo",
        "inputs": {"質問": {"type": "string", "default": None}},
        "nodes": [{"name": "a", "type": "python", "source": "a.py", "inputs": {}, "aggregation": False}],
        "outputs": {"<y>": "${a.output}"},
        "edges": [{"from": "a", "to": "outputs", "condition": None}],
    }
