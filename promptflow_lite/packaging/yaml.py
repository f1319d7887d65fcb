"""How is plain data written as YAML for people? In its own order, with a line on top that says what it is."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import LiteralScalarString

from promptflow_lite.values import to_plain

__all__ = ["block", "text_of"]


def text_of(head: str, *documents: Mapping[str, Any]) -> str:
    """YAML documents.

    Args:
        head: a comment for the top, a line or more.
        documents: plain data.
    """
    made = YAML()
    made.default_flow_style = False
    made.width = 110
    made.representer.ignore_aliases = lambda value: True
    made.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    for number, document in enumerate(documents):
        if number:
            stream.write("---\n")
        made.dump(document, stream)
    comment = "".join(f"# {line}".rstrip() + "\n" for line in head.splitlines())
    return comment + stream.getvalue()


def block(text: str) -> Any:
    """A text of several lines, written as they are."""
    return LiteralScalarString(to_plain(text))
