"""What does a flow say? The models: Flow, Node, FlowInput, FlowOutput, Activate, Variants.

Plain immutable data. `flow.load` makes them from a file, `flow.check` complains about them, `tools.bind` gives
their nodes something to call.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from promptflow_lite.errors import Mark
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.source import Document

__all__ = ["Activate", "Flow", "FlowInput", "FlowOutput", "Node", "NodeType", "Source", "Variant", "Variants"]

NodeType = Literal["llm", "prompt", "python", "retrieval", "tool", "custom_llm"]


class Spec(BaseModel):
    """Frozen, and a key that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class FlowInput(Spec):
    """One input of a flow."""

    type: str
    """A value type (`flow.types.ValueType`) or the name of a connection class."""
    default: Any = None
    description: str | None = None
    is_chat_input: bool = False
    is_chat_history: bool | None = None
    enum: list[Any] | None = None


class FlowOutput(Spec):
    """One output of a flow."""

    type: str = "string"
    """Documentation only: Prompt flow never coerces an output."""
    reference: Any = None
    """A `Ref`, or a literal that is returned as it is."""
    description: str | None = None
    is_chat_output: bool = False
    evaluation_only: bool = False


class Source(Spec):
    """Where the code or the prompt of a node is."""

    type: Literal["code", "package", "package_with_prompt"] = "code"
    path: str | None = None
    """A file in the flow's folder, for `code` and `package_with_prompt`."""
    tool: str | None = None
    """A tool's id, for `package` and `package_with_prompt`; a retriever's name for retrieval nodes."""


class Activate(Spec):
    """A node runs only if `when` equals `is_`."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    when: Any
    """A `Ref` or a literal."""
    is_: Any = Field(alias="is")
    """Always a literal."""


class Node(Spec):
    """One step of a flow."""

    name: str
    type: NodeType
    source: Source | None = None
    inputs: dict[str, Any] = Field(default_factory=dict)
    """Each value a `Ref` or a literal."""
    connection: str | dict[str, Any] | None = None
    api: str | None = None
    provider: str | None = None
    module: str | None = None
    activate: Activate | None = None
    aggregation: bool = False
    use_variants: bool = False
    timeout: float | None = None
    """Seconds this node may take (ours; Prompt flow has none)."""
    comment: str | None = None

    def refs(self) -> dict[str, Ref]:
        """The inputs that are references, by parameter name."""
        return {name: value for name, value in self.inputs.items() if isinstance(value, Ref)}

    def sources(self) -> list[str]:
        """The nodes that this one reads, `activate` included, in order of first mention."""
        refs = [*self.refs().values()]
        if self.activate is not None and isinstance(self.activate.when, Ref):
            refs.append(self.activate.when)
        return list(dict.fromkeys(ref.name for ref in refs if ref.scope == "node"))


class Variant(Spec):
    """An alternative body of a node."""

    node: dict[str, Any]
    """The keys of a node except its name, as they stand in the file."""
    description: str | None = None


class Variants(Spec):
    """The variants of one node."""

    default_variant_id: str
    variants: dict[str, Variant]


class Flow(Spec):
    """What a flow file says, with the place where each key was written."""

    name: str
    display_name: str | None = None
    description: str | None = None
    type: Literal["standard", "chat", "evaluation"] = "standard"
    inputs: dict[str, FlowInput] = Field(default_factory=dict)
    outputs: dict[str, FlowOutput] = Field(default_factory=dict)
    nodes: tuple[Node, ...] = ()
    node_variants: dict[str, Variants] = Field(default_factory=dict)
    environment: dict[str, Any] = Field(default_factory=dict)
    environment_variables: dict[str, Any] = Field(default_factory=dict)
    additional_includes: tuple[str, ...] = ()
    message_format: Literal["basic", "openai-vision"] = "basic"
    tags: dict[str, Any] = Field(default_factory=dict)

    _document: Document = PrivateAttr(default_factory=Document.empty)
    _folder: Path = PrivateAttr(default_factory=Path)

    @property
    def document(self) -> Document:
        """The file as plain data, with positions."""
        return self._document

    @property
    def folder(self) -> Path:
        """Where relative paths start: the flow's folder."""
        return self._folder

    def at(self, *path: str | int) -> Mark:
        """The place in the file where `path` was written, or that of its longest known prefix."""
        return self._document.at(*path)

    def node(self, name: str) -> Node:
        """The node of that name.

        Raises:
            KeyError: there is none.
        """
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def derive(self, **changes: Any) -> Flow:
        """The same flow with other fields; document and folder are kept."""
        copy = self.model_copy(update=changes)
        copy._document, copy._folder = self._document, self._folder
        return copy

    @classmethod
    def of(cls, fields: Mapping[str, Any], *, document: Document, folder: Path) -> Flow:
        """A flow of validated fields that remembers its document and folder."""
        flow = cls.model_validate(fields)
        flow._document, flow._folder = document, folder
        return flow

    @property
    def chat_input(self) -> str | None:
        """The name of the chat input, if this is a chat flow."""
        return next((name for name, spec in self.inputs.items() if spec.is_chat_input), None)

    @property
    def chat_output(self) -> str | None:
        """The name of the chat output: the marked one, or the only one."""
        marked = next((name for name, spec in self.outputs.items() if spec.is_chat_output), None)
        return marked or (next(iter(self.outputs)) if len(self.outputs) == 1 else None)

    @property
    def chat_history(self) -> str | None:
        """The name of the history input: the marked one, or `chat_history` unless it is marked as none."""
        marked = next((name for name, spec in self.inputs.items() if spec.is_chat_history), None)
        plain = self.inputs.get("chat_history")
        return marked or ("chat_history" if plain is not None and plain.is_chat_history is not False else None)
