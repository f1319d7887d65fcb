"""What does a flow look like? Text for the terminal, Mermaid for a README, SVG for a page."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from promptflow_lite.flow.graph import Edge, digraph, edges, order
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.spec import Flow, FlowInput, Node

__all__ = ["to_mermaid", "to_svg", "to_tree"]


def to_tree(flow: Flow) -> str:
    """The flow as a tree for the terminal.

    A node stands once, under the last of the nodes it reads; beside it stands all that it reads.

    Raises:
        FlowError: the nodes wait for each other.
    """
    rank = {name: place for place, name in enumerate(order(flow))}
    children: dict[str | None, list[Node]] = {}
    for node in sorted(flow.nodes, key=lambda n: rank[n.name]):
        above = [name for name in node.sources() if name in rank]
        children.setdefault(max(above, key=rank.__getitem__) if above else None, []).append(node)
    parts = [
        _Branch("inputs", [_Branch(_input(name, spec)) for name, spec in flow.inputs.items()]),
        _Branch("nodes", _branches(children, None)),
        _Branch("outputs", [_Branch(f"{name} ← {_short(o.reference)}") for name, o in flow.outputs.items()]),
    ]
    return "\n".join([flow.display_name or flow.name, *_lines([part for part in parts if part.below])])


def to_mermaid(flow: Flow) -> str:
    """The flow as a Mermaid flowchart."""
    ids: dict[str | None, str] = {node.name: f"n{index}" for index, node in enumerate(flow.nodes)}
    lines = ["flowchart TD"]
    if flow.inputs:
        lines.append(f'  in(["{_mermaid(", ".join(flow.inputs))}"])')
    for node in flow.nodes:
        left, right = ("[[", "]]") if node.aggregation else ("[", "]")
        lines.append(f'  {ids[node.name]}{left}"{_mermaid(node.name)}<br/>{_mermaid(_kind(node))}"{right}')
    if flow.outputs:
        lines.append(f'  out(["{_mermaid(", ".join(flow.outputs))}"])')
    for edge in edges(flow):
        arrow = f'-. "{_mermaid(edge.label)}" .->' if edge.label else "-->"
        source = "in" if edge.source is None else ids[edge.source]
        target = "out" if edge.target is None else ids[edge.target]
        lines.append(f"  {source} {arrow} {target}")
    return "\n".join(lines)


def to_svg(flow: Flow) -> str:
    """The flow as a plain SVG: a layer of boxes below another, each box below all that it reads."""
    boxes = _layout(flow)
    width = max((box.x + box.width / 2 for box in boxes.values()), default=0) + _MARGIN
    height = max((box.y + _HEIGHT for box in boxes.values()), default=0) + _MARGIN
    drawn = [_svg_edge(edge, boxes) for edge in edges(flow)] + [_svg_box(box) for box in boxes.values()]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
            f'width="{width:g}" height="{height:g}" font-family="sans-serif" font-size="13">',
            f"<title>{_svg(flow.display_name or flow.name)}</title>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
            'orient="auto"><path d="M0 0 8 4 0 8z" fill="#64748b"/></marker></defs>',
            *drawn,
            "</svg>",
        ]
    )


@dataclass(frozen=True)
class _Branch:
    text: str
    below: Sequence[_Branch] = ()


def _branches(children: Mapping[str | None, Sequence[Node]], above: str | None) -> list[_Branch]:
    return [_Branch(_described(node), _branches(children, node.name)) for node in children.get(above, ())]


def _lines(branches: Sequence[_Branch], indent: str = "") -> Iterator[str]:
    for index, branch in enumerate(branches):
        is_last = index == len(branches) - 1
        yield f"{indent}{'└─' if is_last else '├─'} {branch.text}"
        yield from _lines(branch.below, f"{indent}{'   ' if is_last else '│  '}")


def _input(name: str, spec: FlowInput) -> str:
    default = "" if spec.default is None else f" = {spec.default!r}"
    return f"{name}: {spec.type}{default}{' (chat)' if spec.is_chat_input else ''}"


def _described(node: Node) -> str:
    read = dict.fromkeys(_short(ref) for ref in node.refs().values())
    text = f"{node.name} ({_kind(node)})"
    if read:
        text += f" ← {', '.join(read)}"
    if node.activate is not None:
        text += f", if {_short(node.activate.when)} is {node.activate.is_!r}"
    return f"{text}, once after all lines" if node.aggregation else text


def _kind(node: Node) -> str:
    source = node.source
    what = (source.path or source.tool) if source is not None else None
    return f"{node.type} {what}" if what else node.type


def _short(reference: object) -> str:
    """A reference without its braces, and a node's without `.output`."""
    if not isinstance(reference, Ref):
        return repr(reference)
    text = str(reference)[2:-1]
    return (
        text if reference.scope == "inputs" else text.replace(f"{reference.name}.output", reference.name, 1)
    )


def _mermaid(text: str) -> str:
    return "".join(f"#{ord(c)};" if c in '#&;"<>`|[]{}()\\' or not c.isprintable() else c for c in text)


_MARGIN, _HEIGHT, _GAP_X, _GAP_Y = 16, 44, 28, 48


@dataclass(frozen=True)
class _Box:
    x: float
    """Of the centre."""
    y: float
    """Of the top."""
    width: float
    text: str
    kind: str


def _layout(flow: Flow) -> dict[str | None, _Box]:
    """Boxes by node; the flow's inputs stand under `""`, which is no node, its outputs under `None`."""
    rows: list[list[tuple[str | None, str, str]]] = (
        [[("", ", ".join(flow.inputs), "inputs")]] if flow.inputs else []
    )
    rows += [[(name, name, _kind(flow.node(name))) for name in layer] for layer in _generations(flow)]
    rows += [[(None, ", ".join(flow.outputs), "outputs")]] if flow.outputs else []
    widths = [[max(_width(text), _width(kind)) + 24 for _, text, kind in row] for row in rows]
    whole = max((sum(row) + _GAP_X * (len(row) - 1) for row in widths), default=0)
    boxes: dict[str | None, _Box] = {}
    for place, (row, sizes) in enumerate(zip(rows, widths, strict=True)):
        left = _MARGIN + (whole - sum(sizes) - _GAP_X * (len(row) - 1)) / 2
        for (name, text, kind), size in zip(row, sizes, strict=True):
            boxes[name] = _Box(left + size / 2, _MARGIN + place * (_HEIGHT + _GAP_Y), size, text, kind)
            left += size + _GAP_X
    return boxes


def _generations(flow: Flow) -> list[list[str]]:
    from networkx import topological_generations  # noqa: PLC0415  # heavy: first use

    graph = digraph(flow)
    place = {name: index for index, name in enumerate(order(flow))}
    layers: list[list[str]] = []
    column: dict[str, float] = {}
    for generation in topological_generations(graph):
        layer = sorted(
            generation, key=lambda name: (_barycentre(graph.predecessors(name), column), place[name])
        )
        column |= {name: index - (len(layer) - 1) / 2 for index, name in enumerate(layer)}
        layers.append(layer)
    return layers


def _barycentre(above: Iterator[str], column: Mapping[str, float]) -> float:
    columns = [column[name] for name in above]
    return sum(columns) / len(columns) if columns else 0.0


def _width(text: str) -> float:
    """About what `text` takes at 13 pixels; East Asian characters take twice a Latin one."""
    return sum(13.5 if unicodedata.east_asian_width(c) in "WF" else 7.2 for c in text)


def _svg_box(box: _Box) -> str:
    fill = "#f1f5f9" if box.kind in ("inputs", "outputs") else "#ffffff"
    return (
        f'<g text-anchor="middle"><rect x="{box.x - box.width / 2:g}" y="{box.y:g}" width="{box.width:g}" '
        f'height="{_HEIGHT}" rx="6" fill="{fill}" stroke="#64748b"/>'
        f'<text x="{box.x:g}" y="{box.y + 19:g}" fill="#0f172a">{_svg(box.text)}</text>'
        f'<text x="{box.x:g}" y="{box.y + 35:g}" fill="#64748b" font-size="11">{_svg(box.kind)}</text></g>'
    )


def _svg_edge(edge: Edge, boxes: Mapping[str | None, _Box]) -> str:
    start, end = boxes["" if edge.source is None else edge.source], boxes[edge.target]
    x1, y1, x2, y2 = start.x, start.y + _HEIGHT, end.x, end.y
    bend = (y2 - y1) / 2
    dashed = f' stroke-dasharray="4 3"><title>{_svg(edge.label)}</title></path>' if edge.label else "/>"
    return (
        f'<path d="M{x1:g} {y1:g}C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2:g}" fill="none" '
        f'stroke="#64748b" marker-end="url(#tip)"{dashed}'
    )


def _svg(text: str) -> str:
    return escape("".join(c if c.isprintable() else "\ufffd" for c in text))
