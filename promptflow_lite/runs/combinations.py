"""Which runs is a sweep? Every combination of what it varies: its name, what it asks for, what it shares."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from promptflow_lite.flow.graph import order
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.spec import Flow, Node
from promptflow_lite.runs.matrix import BASE
from promptflow_lite.runs.run import Run
from promptflow_lite.tools.parameters import MODEL_NAMES

__all__ = ["combinations", "label", "names_of", "of_choice", "shared_nodes"]

_NAME_LENGTH = 100


def combinations(matrix: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination; the last key changes fastest.

    >>> combinations({"a": [1, 2], "b": [3]})
    [{'a': 1, 'b': 3}, {'a': 2, 'b': 3}]
    """
    return [dict(zip(matrix, values, strict=True)) for values in product(*matrix.values())]


def label(choice: Mapping[str, Any]) -> str:
    """A combination for people.

    >>> label({"examples": "few_shot", "classify.temperature": 0.5})
    'examples=few_shot, classify.temperature=0.5'
    """
    return ", ".join(f"{key}={_text(value)}" for key, value in choice.items())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def names_of(parent: str, choices: Sequence[Mapping[str, Any]], base: str | None = None) -> list[str]:
    """A name for each combination: its values behind the sweep's, or its number where they make no name.

    Args:
        parent: the sweep's name.
        choices: the combinations.
        base: the sweep that is scored, whose name is left out of those of its runs.

    >>> names_of("s", [{"examples": "few"}, {"examples": "zero"}])
    ['s-few', 's-zero']
    """
    found = [f"{parent}-{'-'.join(_parts(choice, base))}" for choice in choices]
    if len({name.casefold() for name in found}) == len(found) and max(map(len, found)) <= _NAME_LENGTH:
        return found
    width = len(str(len(choices)))
    return [f"{parent}-{number:0{width}}" for number in range(1, len(choices) + 1)]


def _parts(choice: Mapping[str, Any], base: str | None) -> Iterator[str]:
    for key, value in choice.items():
        text = _text(value)
        if key == BASE and base is not None:
            yield text.removeprefix(f"{base}-")
            continue
        _, dot, last = key.rpartition(".")
        plain = re.sub(r"[^A-Za-z0-9_.]+", "_", text).strip("_.")
        yield f"{last}_{plain}" if dot and last not in (*MODEL_NAMES, "connection") else plain or "_"


def of_choice(asked: Run, choice: Mapping[str, Any], nodes: Sequence[str]) -> dict[str, Any]:
    """What a run of one combination asks for, beside what all do: the fields of Run that differ.

    Args:
        asked: what all runs ask for.
        choice: the combination.
        nodes: the names of the flow's nodes.
    """
    variants = [asked.variant] if asked.variant else []
    connections = {node: dict(changes) for node, changes in asked.connections.items()}
    mapping = dict(asked.column_mapping or {})
    init: dict[str, Any] = json.loads(json.dumps(asked.init, default=str))
    fields: dict[str, Any] = {"choice": dict(choice)}
    for key, value in choice.items():
        head, dot, rest = key.partition(".")
        if key == BASE:
            fields["run"] = value
        elif not dot:
            variants.append(f"${{{key}.{value}}}")
        elif head == "inputs":
            mapping[rest] = value
        elif head == "init" and head not in nodes:
            _put(init, rest.split("."), value)
        else:
            connections.setdefault(head, {})[rest] = value
    return {
        **fields,
        "variant": " ".join(variants) or None,
        "connections": connections,
        "column_mapping": mapping or asked.column_mapping,
        "init": init,
    }


def _put(at: dict[str, Any], path: Sequence[str], value: Any) -> None:
    *outer, last = path
    for step in outer:
        inner = at.get(step)
        at[step] = at = inner if isinstance(inner, dict) else {}
    at[last] = value


def shared_nodes(
    flow: Flow, choice: Mapping[str, Any], matrix: Mapping[str, Sequence[Any]]
) -> dict[str, str]:
    """The nodes that some runs of the sweep run alike, and which of its choices they follow from.

    Args:
        flow: with the variants of this combination.
        choice: the combination.
        matrix: what is varied.
    """
    varied = {key for key, values in matrix.items() if len(values) > 1}
    names = [node.name for node in flow.nodes]
    everywhere = {key for key in matrix if key == BASE or (key.startswith("init.") and "init" not in names)}
    follows: dict[str, set[str]] = {}
    for name in order(flow):
        node = flow.node(name)
        own = {key for key in matrix if key == name or key.startswith(f"{name}.")} | everywhere
        own |= {f"inputs.{ref}" for ref in _inputs(node)} & matrix.keys()
        follows[name] = own.union(*(follows.get(source, set()) for source in node.sources()))
    return {
        name: json.dumps({key: choice[key] for key in sorted(keys)}, default=str)
        for name, keys in follows.items()
        if varied - keys and not flow.node(name).aggregation
    }


def _inputs(node: Node) -> set[str]:
    when = node.activate.when if node.activate is not None else None
    refs = [*node.refs().values(), *([when] if isinstance(when, Ref) else [])]
    return {ref.name for ref in refs if ref.scope == "inputs"}
