"""Which body does each node have? Choosing variants is a function from Flow to Flow.

Prompt flow: _sdk/_utils `overwrite_variant`: only nodes with `use_variants: true` are replaced, by the chosen
or the default variant; the name stays. A choice for any other node is an error here; Prompt flow ignores it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from promptflow_lite.errors import Diagnostic, FlowError, Mark, UserError, near_miss
from promptflow_lite.flow.complaints import Complaints
from promptflow_lite.flow.node import node_of
from promptflow_lite.flow.source import KeyPath
from promptflow_lite.flow.spec import Flow, Node

__all__ = ["choose_variants", "parse_choice", "parse_choices"]

_CHOICE = re.compile(r"\$\{([^.{}]+)\.([^{}]+)\}")
_BETWEEN = re.compile(r"(?<=\})[\s,]+(?=\$\{)")


def parse_choice(text: str) -> tuple[str, str]:
    """Node and variant of `${node.variant}`.

    >>> parse_choice("${classify.v1}")
    ('classify', 'v1')

    Raises:
        UserError: the text is written in another way.
    """
    match = _CHOICE.fullmatch(text)
    if match is None:
        raise UserError(f"{text!r} chooses no variant; expected '${{node.variant}}'", code="bad-variant")
    return match.group(1), match.group(2)


def parse_choices(text: str | None) -> dict[str, str]:
    """Node to variant, of one `${node.variant}` or several with spaces or commas between; none of nothing.

    >>> parse_choices("${classify.v1} ${answer.short}")
    {'classify': 'v1', 'answer': 'short'}

    Raises:
        UserError: the text is written in another way, or chooses twice for a node.
    """
    if not (text or "").strip():
        return {}
    parts = _BETWEEN.split((text or "").strip())
    found = dict(map(parse_choice, parts))
    if len(found) < len(parts):
        raise UserError(f"{text!r} chooses several variants of one node", code="bad-variant")
    return found


def choose_variants(flow: Flow, choices: Mapping[str, str]) -> Flow:
    """The flow in which every node that uses variants has the body of one.

    Args:
        flow: any flow; one without variants comes back as it is.
        choices: node name to variant; nodes that are not named take their default.

    Raises:
        FlowError: code `unknown-variant`, for every choice or default that leads nowhere.
    """
    found = [c for name in choices if (c := _wrong_choice(flow, name, choices[name])) is not None]
    nodes: list[Node] = []
    document = flow.document
    for index, node in enumerate(flow.nodes):
        if not node.use_variants:
            nodes.append(node)
            continue
        chosen = choices.get(node.name) or _default(flow, node, index, found)
        variants = flow.node_variants.get(node.name)
        if chosen is None or variants is None or chosen not in variants.variants:
            continue
        there: KeyPath = ("node_variants", node.name, "variants", chosen, "node")
        body = node_of(variants.variants[chosen].node, node.name, there, Complaints(document))
        if body is not None:
            nodes.append(body)
            document = document.with_moved(("nodes", index), there)
    if found:
        raise FlowError(found)
    return flow.derive(nodes=tuple(nodes), document=document)


def _default(flow: Flow, node: Node, index: int, found: list[Diagnostic]) -> str | None:
    variants = flow.node_variants.get(node.name)
    if variants is None:
        message = f"node {node.name!r} uses variants, and node_variants has none for it"
        hint = near_miss(node.name, flow.node_variants)
        found.append(Diagnostic("unknown-variant", message, flow.at("nodes", index, "use_variants"), hint))
        return None
    default = variants.default_variant_id
    if default not in variants.variants:
        mark = flow.at("node_variants", node.name, "default_variant_id")
        found.append(_unknown(node.name, default, list(variants.variants), mark))
        return None
    return default


def _wrong_choice(flow: Flow, name: str, variant: str) -> Diagnostic | None:
    node = next((node for node in flow.nodes if node.name == name), None)
    if node is None:
        hint = near_miss(name, [n.name for n in flow.nodes])
        return Diagnostic("unknown-variant", f"no node is named {name!r}", flow.at("nodes"), hint)
    variants = flow.node_variants.get(name)
    if variants is None or not node.use_variants:
        index = flow.nodes.index(node)
        return Diagnostic(
            "unknown-variant",
            f"node {name!r} has no variants to choose from (use_variants: true)",
            flow.at("nodes", index),
        )
    if variant not in variants.variants:
        return _unknown(name, variant, list(variants.variants), flow.at("node_variants", name, "variants"))
    return None


def _unknown(node: str, variant: str, known: list[str], mark: Mark) -> Diagnostic:
    hint = near_miss(variant, known) or f"there are: {', '.join(known)}"
    return Diagnostic("unknown-variant", f"node {node!r} has no variant {variant!r}", mark, hint)
