"""How does an index get into Azure AI Search? Its passages and vectors, into an index created to match.

Registered under `promptflow_lite.index_targets` as `cognitive_search`, the connection's type.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from promptflow_lite.connections.base import Connection
from promptflow_lite.errors import InputError
from promptflow_lite.integrations.azure_service import credential_of, failure_of
from promptflow_lite.retrieval.document import Document
from promptflow_lite.retrieval.index import Index
from promptflow_lite.tools.search import Pushed

if TYPE_CHECKING:
    from azure.search.documents.aio import SearchClient
    from azure.search.documents.indexes.models import SearchIndex

    from promptflow_lite.retrieval.build import Progress
    from promptflow_lite.retrieval.embed import Vectors

__all__ = ["SEMANTIC", "push"]

SEMANTIC = "default"
"""The name of the semantic configuration of a pushed index; it costs nothing until a search asks for it."""
_BATCH = 100
"""Documents of a request: 3.5 MB with vectors of 3072 numbers, where the service takes 16 MB."""
_ATTEMPTS = 4
_FIRST_WAIT_S = 0.5
_PASSING = frozenset({409, 422, 429, 503})
"""What the service says of a document that it may take later (REST: `docs/search.index`)."""
_OURS = ("key", "id", "content", "metadata", "pushed", "vector")
_LONGEST_VALUE = 8000
_NAME = re.compile(r"(?!azureSearch)[A-Za-z][A-Za-z0-9_]{0,127}")
_TYPES: Mapping[type, str] = {
    str: "Edm.String",
    bool: "Edm.Boolean",
    int: "Edm.Int64",
    float: "Edm.Double",
}


async def push(
    index: Index, connection: Connection, name: str, *, analyzer: str, progress: Progress
) -> Pushed:
    """Bring the passages and vectors of `index` into the index `name`, which is created, or made to match.

    Its fields: `key`, `id`, `content`, `vector`; `metadata`, all of it as JSON; `pushed`, which push it was;
    and one for each name of the metadata whose values are text, numbers or truths all through. It has the
    semantic configuration `default`.

    Args:
        index: the index.
        connection: of type `cognitive_search`.
        name: the index there.
        analyzer: of `content` and of the fields `title` and `heading`, such as `ja.microsoft`.
        progress: told how far it is.

    Raises:
        InputError: the index has no passages.
        NodeError: the service refused or could not be reached.
        MissingExtra: the connection wants a token, and `azure-identity` is not installed.
    """
    from azure.core.exceptions import AzureError
    from azure.search.documents.aio import SearchClient
    from azure.search.documents.indexes.aio import SearchIndexClient

    if not index.info.chunks:
        raise InputError(f"{index.path}: the index has no passages", code="bad-source")
    place = (connection["api_base"], credential_of(connection))
    fields = _fields_of(index)
    stamp = secrets.token_hex(8)
    try:
        async with SearchIndexClient(*place, permit_redirects=False) as indexes:
            await indexes.create_or_update_index(_schema(name, index.info.dimension, fields, analyzer))
        async with SearchClient(place[0], name, place[1], permit_redirects=False) as client:
            refused: dict[str, str] = {}
            keys: set[str] = set()
            passages = index.passages()
            while batch := [_row(*one, fields, stamp) for one in islice(passages, _BATCH)]:
                refused |= await _upload(client, batch)
                keys |= {row["key"] for row in batch}
                progress("push", len(keys), index.info.chunks)
            removed = await _remove_others(client, stamp, keys)
    except AzureError as error:
        raise failure_of(error, name) from error
    return Pushed(len(keys) - len(refused), removed, refused)


def _fields_of(index: Index) -> dict[str, str]:
    """The names of the metadata that become fields, and their types."""
    found: dict[str, set[str]] = {name: {"Edm.String"} for name in ("title", "source", "heading")}
    for document, _ in index.passages():
        for name, value in document.metadata.items():
            if value is not None:
                fits = type(value) in _TYPES and not (isinstance(value, str) and len(value) > _LONGEST_VALUE)
                found.setdefault(name, set()).add(_TYPES[type(value)] if fits else "")
    numbers = {"Edm.Int64", "Edm.Double"}
    types = {name: {"Edm.Double"} if kinds == numbers else kinds for name, kinds in found.items()}
    return {
        name: next(iter(kinds))
        for name, kinds in types.items()
        if len(kinds) == 1 and "" not in kinds and name not in _OURS and _NAME.fullmatch(name)
    }


def _schema(name: str, dimension: int, fields: Mapping[str, str], analyzer: str) -> SearchIndex:
    from azure.search.documents.indexes.models import (
        HnswAlgorithmConfiguration,
        HnswParameters,
        SearchableField,
        SearchField,
        SearchIndex,
        SemanticConfiguration,
        SemanticField,
        SemanticPrioritizedFields,
        SemanticSearch,
        SimpleField,
        VectorSearch,
        VectorSearchProfile,
    )

    made = [
        SimpleField(name="key", type="Edm.String", key=True),
        SimpleField(name="id", type="Edm.String", filterable=True),
        SearchableField(name="content", analyzer_name=analyzer),
        SimpleField(name="metadata", type="Edm.String"),
        SimpleField(name="pushed", type="Edm.String", filterable=True),
        SearchField(
            name="vector",
            type="Collection(Edm.Single)",
            searchable=True,
            retrievable=False,
            vector_search_dimensions=dimension,
            vector_search_profile_name="vectors",
        ),
    ]
    for field, kind in fields.items():
        if field in ("title", "heading"):
            made.append(SearchableField(name=field, analyzer_name=analyzer, filterable=True))
        else:
            made.append(SimpleField(name=field, type=kind, filterable=True))
    algorithm = HnswAlgorithmConfiguration(name="cosine", parameters=HnswParameters(metric="cosine"))
    profile = VectorSearchProfile(name="vectors", algorithm_configuration_name="cosine")
    semantic = SemanticConfiguration(
        name=SEMANTIC,
        prioritized_fields=SemanticPrioritizedFields(
            title_field=SemanticField(field_name="title"),
            content_fields=[SemanticField(field_name="content")],
            keywords_fields=[SemanticField(field_name="heading")],
        ),
    )
    return SearchIndex(
        name=name,
        fields=made,
        vector_search=VectorSearch(algorithms=[algorithm], profiles=[profile]),
        semantic_search=SemanticSearch(configurations=[semantic]),
    )


def _row(document: Document, vector: Vectors, fields: Mapping[str, str], stamp: str) -> dict[str, Any]:
    given = {name: document.metadata.get(name) for name in fields}
    return {
        **given,
        "key": _key(document.id),
        "id": document.id,
        "content": document.content,
        "metadata": json.dumps(document.metadata, ensure_ascii=False),
        "pushed": stamp,
        "vector": vector.tolist(),
    }


def _key(name: str) -> str:
    """The name in the letters that a key may have."""
    data = name.encode("utf-8", "surrogatepass")
    if len(data) > 700:  # a key has 1024 letters at most
        data = data[:600] + hashlib.sha256(data).digest()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


async def _upload(client: SearchClient, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Upload; the ids of those that the service did not take, and why."""
    ids = {row["key"]: row["id"] for row in rows}
    left = {row["key"]: row for row in rows}
    refused: dict[str, str] = {}
    for attempt in range(_ATTEMPTS):
        results = await client.upload_documents([dict(row) for row in left.values()])
        failed = [result for result in results if not result.succeeded]
        why = {ids[one.key]: f"{one.status_code} {one.error_message or ''}".strip() for one in failed}
        later = {one.key for one in failed if one.status_code in _PASSING}
        refused |= {name: text for name, text in why.items() if _key(name) not in later}
        left = {key: row for key, row in left.items() if key in later}
        if not left:
            return refused
        if attempt < _ATTEMPTS - 1:
            await asyncio.sleep(_FIRST_WAIT_S * 2**attempt)
    return refused | {name: text for name, text in why.items() if _key(name) in left}


async def _remove_others(client: SearchClient, stamp: str, keys: set[str]) -> int:
    """Remove what an earlier push left; how many. What was refused now keeps its older form."""
    answer = await client.search("*", filter=f"pushed ne '{stamp}'", select=["key"])
    # The service may not show yet what it has just taken: `keys` are not gone, whatever it shows of them.
    gone = [found["key"] async for found in answer if found["key"] not in keys]
    removed = 0
    for batch in _batches(gone):
        results = await client.delete_documents([{"key": key} for key in batch])
        removed += sum(bool(result.succeeded) for result in results)
    return removed


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[at : at + _BATCH] for at in range(0, len(keys), _BATCH))
