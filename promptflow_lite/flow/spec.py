"""What does a flow say? The models: Flow, Node, FlowInput, FlowOutput, Activate, Variants.

Plain immutable data. `flow.load` makes them from a file, `flow.check` complains about them, `tools.bind`
gives their nodes something to call.

Frozen dataclasses, not pydantic models: `flow.parse` says what is wrong with a file in the language's own
words, and pydantic with these models costs 58 ms of CPU at the start, a quarter of what `pf flow test` may
take in all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from promptflow_lite.errors import Mark
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.registered import Registered
from promptflow_lite.flow.source import Document

__all__ = ["Activate", "Flow", "FlowInput", "FlowOutput", "Node", "NodeType", "Source", "Variant", "Variants"]

NodeType = Literal["llm", "prompt", "python", "retrieval", "tool", "custom_llm", "flex", "prompty"]
"""`flex` and `prompty` are made by front ends (`flow.flex`, `flow.prompty`); no file writes them."""


@dataclass(frozen=True)
class FlowInput:
    """One input of a flow."""

    type: str
    """A value type (`flow.types.ValueType`) or the name of a connection class."""
    default: Any = None
    description: str | None = None
    is_chat_input: bool = False
    is_chat_history: bool | None = None
    enum: list[Any] | None = None
    optional: bool = False
    """Whether it may be left out although it has no default: it is `None` then."""


@dataclass(frozen=True)
class FlowOutput:
    """One output of a flow."""

    type: str = "string"
    """Documentation only: Prompt flow never coerces an output."""
    reference: Any = None
    """A `Ref`, or a literal that is returned as it is."""
    description: str | None = None
    is_chat_output: bool = False
    evaluation_only: bool = False


@dataclass(frozen=True)
class Source:
    """Where the code or the prompt of a node is."""

    type: Literal["code", "package", "package_with_prompt"] = "code"
    path: str | None = None
    """A file in the flow's folder, for `code` and `package_with_prompt`."""
    tool: str | None = None
    """A tool's id, for `package` and `package_with_prompt`; a retriever's name for retrieval nodes."""


@dataclass(frozen=True)
class Activate:
    """A node runs only if `when` equals `is_`."""

    when: Any
    """A `Ref` or a literal."""
    is_: Any
    """Always a literal."""


@dataclass(frozen=True)
class Node:
    """One step of a flow."""

    name: str
    type: NodeType
    source: Source | None = None
    inputs: dict[str, Any] = field(default_factory=dict)
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
    settings: Any = field(default=None, repr=False)
    """What a front end read for the maker of this node's tool: `flow.entry.Entry`, `flow.prompty.Prompt`."""

    def refs(self) -> dict[str, Ref]:
        """The inputs that are references, by parameter name."""
        return {name: value for name, value in self.inputs.items() if isinstance(value, Ref)}

    def derive(self, **changes: Any) -> Node:
        """The same node with other fields."""
        return replace(self, **changes)

    def sources(self) -> list[str]:
        """The nodes that this one reads, `activate` included, in order of first mention."""
        refs = [*self.refs().values()]
        if self.activate is not None and isinstance(self.activate.when, Ref):
            refs.append(self.activate.when)
        return list(dict.fromkeys(ref.name for ref in refs if ref.scope == "node"))


@dataclass(frozen=True)
class Variant:
    """An alternative body of a node."""

    node: dict[str, Any]
    """The keys of a node except its name, as they stand in the file."""
    description: str | None = None


@dataclass(frozen=True)
class Variants:
    """The variants of one node."""

    default_variant_id: str
    variants: dict[str, Variant]


@dataclass(frozen=True)
class Flow:
    """What a flow file says, with the place where each key was written."""

    name: str
    display_name: str | None = None
    description: str | None = None
    type: Literal["standard", "chat", "evaluation"] = "standard"
    inputs: dict[str, FlowInput] = field(default_factory=dict)
    outputs: dict[str, FlowOutput] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()
    node_variants: dict[str, Variants] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    environment_variables: dict[str, Any] = field(default_factory=dict)
    additional_includes: tuple[str, ...] = ()
    message_format: Literal["basic", "openai-vision"] = "basic"
    tags: dict[str, Any] = field(default_factory=dict)
    spread: str | None = None
    """The node whose fields are the outputs: those that it gives count, `outputs` says what to expect. What
    has no fields is the output `output`."""
    init: dict[str, FlowInput] = field(default_factory=dict)
    """What the flow is made with, once for all lines; a flow.dag.yaml has none."""
    init_values: dict[str, Any] = field(default_factory=dict, repr=False)
    """What was given for `init` (`flow.init.give`)."""
    sample: dict[str, Any] = field(default_factory=dict)
    """The inputs of one line to try the flow with."""

    prompts: dict[str, Registered] = field(default_factory=dict, repr=False)
    """The registered prompts of its nodes, by the `source.path` that names them, once they are fetched."""

    document: Document = field(default_factory=Document.empty, repr=False, compare=False)
    """The file as plain data, with positions."""
    folder: Path = field(default_factory=Path, compare=False)
    """Where relative paths start: the flow's folder, absolute."""

    def at(self, *path: str | int) -> Mark:
        """The place in the file where `path` was written, or that of its longest known prefix."""
        return self.document.at(*path)

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
        return replace(self, **changes)

    @classmethod
    def of(cls, fields: Mapping[str, Any], *, document: Document, folder: Path) -> Flow:
        """A flow of these fields that remembers its document and folder."""
        return cls(**fields, document=document, folder=folder)

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
        return marked or (
            "chat_history" if plain is not None and plain.is_chat_history is not False else None
        )
