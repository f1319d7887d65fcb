"""What does a sweep vary? Variants of nodes, models and parameters, by key, as they are asked for.

The keys of a matrix, each with its values:

- `answer`: variants of the node `answer`; `*` is all of them.
- `answer.temperature`, `answer.deployment_name`, `answer.connection`: an input of the node, or what it asks.
- `inputs.top_k`: an input of the flow, for every line.
- `init.model`: what the class of a flex flow is made with, or a key of a prompty's front matter.
- `run`: the runs that are scored. Nobody writes it: a run that builds on a sweep builds on each of its runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from promptflow_lite.errors import FlowError, InputError, UserError, near_miss
from promptflow_lite.flow.spec import Flow, Node
from promptflow_lite.flow.variants import choose_variants, parse_choices
from promptflow_lite.runs.secrets import may_be_secret
from promptflow_lite.tools.parameters import CHAT, COMPLETION, MODEL_NAMES

__all__ = ["ALL", "BASE", "Chosen", "checked", "of_texts", "of_variants"]

ALL = "*"
BASE = "run"
"""The key of the runs that are scored."""
_INIT = "init."
MOST = 1000
"""Combinations of one sweep."""


class Chosen(NamedTuple):
    """What several `--variant` ask for together."""

    variant: str | None
    """The choices that all runs have in common."""
    matrix: dict[str, list[str]]
    """The alternatives."""


def of_variants(texts: Sequence[str]) -> Chosen:
    """What `${node.variant}` texts ask for: those of one node are alternatives, those of others go together.

    Raises:
        UserError: a text is written in another way, or two nodes have alternatives (code `bad-variant`).
    """
    by_node: dict[str, list[str]] = {}
    for text in texts:
        for node, variant in parse_choices(text).items():
            if variant not in by_node.setdefault(node, []):
                by_node[node].append(variant)
    several = {node: variants for node, variants in by_node.items() if len(variants) > 1}
    if len(several) > 1:
        keys = " ".join(f"'{node}={','.join(variants)}'" for node, variants in several.items())
        raise UserError(
            f"--variant names alternatives of several nodes: {', '.join(several)}",
            code="bad-variant",
            hint=f"every combination of them is  --matrix {keys}",
        )
    common = [f"${{{node}.{variants[0]}}}" for node, variants in by_node.items() if len(variants) == 1]
    return Chosen(" ".join(common) or None, several)


def of_texts(texts: Sequence[str]) -> dict[str, list[Any]]:
    """The matrix of `KEY=VALUE,VALUE` texts; a JSON list does for values with commas.

    >>> of_texts(["answer=v1,v2", 'answer.stop=["a,b"]'])
    {'answer': ['v1', 'v2'], 'answer.stop': ['a,b']}

    Raises:
        UserError: a text is written in another way, or a key comes twice (code `bad-matrix`).
    """
    found: dict[str, list[Any]] = {}
    for text in texts:
        key, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not key or not values:
            raise UserError(f"--matrix: expected key=value,value, got {text!r}", code="bad-matrix")
        if key in found:
            raise UserError(f"--matrix: {key!r} is given twice", code="bad-matrix")
        found[key] = _values(key, values)
    return found


def _values(key: str, text: str) -> list[Any]:
    if not text.startswith("["):
        values = [value.strip() for value in text.split(",")]
        return [_number(value) for value in values] if key.startswith(_INIT) else values
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UserError(f"--matrix {key}: expected a JSON list ({error})", code="bad-matrix") from error
    return list(found)


def _number(text: str) -> Any:
    """A number or a flag as such: what a flow is made with declares no types that would say so."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float) else text


def checked(matrix: Mapping[str, Sequence[Any]], flow: Flow, variant: str | None) -> dict[str, list[Any]]:
    """The matrix with `*` written out, if the flow can be varied so.

    Args:
        matrix: by key.
        flow: before its variants are chosen.
        variant: what all runs have in common.

    Raises:
        InputError: every key and value that is wrong (code `bad-matrix`).
    """
    whole = {key: _written_out(key, list(values), flow) for key, values in matrix.items()}
    common = parse_choices(variant)
    wrong = [
        f"{key}: {why}" for key, values in whole.items() for why in _complaints(key, values, flow, whole)
    ]
    wrong += [f"{key}: --variant chooses one for all runs already" for key in whole if key in common]
    count = len(list(product(*whole.values()))) if not wrong else 0
    if count > MOST:
        wrong.append(f"{count:,} combinations; a sweep has at most {MOST:,}")
    if wrong:
        raise InputError("\n".join(f"matrix {why}" for why in wrong), code="bad-matrix")
    return whole


def _written_out(key: str, values: list[Any], flow: Flow) -> list[Any]:
    if values == [ALL] and key in flow.node_variants:
        return list(flow.node_variants[key].variants)
    return values


def _complaints(key: str, values: list[Any], flow: Flow, matrix: Mapping[str, list[Any]]) -> Iterator[str]:
    texts = [json.dumps(value, sort_keys=True, default=str) for value in values]
    if not values:
        yield "no value is given"
    for value in dict.fromkeys(
        value for value, text in zip(values, texts, strict=True) if texts.count(text) > 1
    ):
        yield f"{value!r} is given twice"
    if len(values) > 1 and ALL in values:
        yield f"{ALL!r} is all variants, and stands alone"
        return
    head, dot, rest = key.partition(".")
    names = [node.name for node in flow.nodes]
    if not dot:
        yield from _variant_complaints(key, values, flow)
    elif head == "inputs":
        if rest not in flow.inputs:
            hint = near_miss(rest, flow.inputs) or f"there are: {', '.join(flow.inputs) or 'none'}"
            yield f"the flow has no input {rest!r}; {hint}"
    elif head not in names:
        if key.startswith(_INIT):
            if any(may_be_secret(rest, value) for value in values):
                yield "a sweep keeps its values, and these may be secrets: vary connections, or ${env:NAME}s"
        else:
            hint = near_miss(head, names) or f"there are: {', '.join(names)}"
            yield f"no node is named {head!r}; {hint}"
    else:
        bodies = list(_bodies(flow, head, matrix))
        if bodies and not any(_takes(body, rest) for body in bodies):
            yield _not_taken(bodies[0], rest)


def _variant_complaints(key: str, values: list[Any], flow: Flow) -> Iterator[str]:
    found: dict[str, None] = {}
    for value in values:
        try:
            choose_variants(flow, {key: str(value)})
        except FlowError as error:
            found |= dict.fromkeys(
                f"{one.message}; {one.hint}" if one.hint else one.message for one in error.diagnostics
            )
    yield from found


def _bodies(flow: Flow, name: str, matrix: Mapping[str, list[Any]]) -> Iterator[Node]:
    """The node as it is in each of its variants that the sweep has."""
    known = flow.node_variants[name].variants if name in flow.node_variants else {}
    chosen = [str(value) for value in matrix.get(name, ()) if str(value) in known]
    for variant in (*chosen, *(() if chosen else (None,))):
        try:
            yield choose_variants(flow, {} if variant is None else {name: variant}).node(name)
        except (FlowError, KeyError):  # said by `check`
            continue


def _takes(node: Node, key: str) -> bool:
    """Whether the node has such an input; what a Python function takes, binding it says."""
    if key in node.inputs:
        return True
    match node.type:
        case "llm":
            known = COMPLETION if node.api == "completion" else CHAT
            return key in known or key in (*MODEL_NAMES, "connection")
        case "retrieval":
            return key == "connection"
        case "prompt" | "flex" | "prompty":
            return False
        case _:
            return True


def _not_taken(node: Node, key: str) -> str:
    if node.type in ("flex", "prompty"):
        part = "configuration" if key in (*MODEL_NAMES, "connection") else "parameters"
        where = f"init.{key}" if node.type == "flex" else f"init.model.{part}.{key}"
        return f"a {node.type} flow is varied by what it is made with: write {where}"
    known = list(node.inputs)
    if node.type == "llm":
        known += [*(COMPLETION if node.api == "completion" else CHAT), *MODEL_NAMES, "connection"]
    hint = near_miss(key, known) or f"it has: {', '.join(dict.fromkeys(known)) or 'none'}"
    return f"node {node.name!r} has no input {key!r}; {hint}"
