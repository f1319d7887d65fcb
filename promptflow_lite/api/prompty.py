"""How does Python code ask a .prompty? `Prompty.load(path)(question="...")`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from promptflow_lite.api.beside import parts_of, wait_for
from promptflow_lite.connections.store import provider
from promptflow_lite.errors import FlowError, InputError, UserError, near_miss
from promptflow_lite.flow.prompty import Prompt, read_prompty
from promptflow_lite.flow.spec import Flow
from promptflow_lite.settings import settings
from promptflow_lite.tools.prompty import asking_of, rendered
from promptflow_lite.tools.scope import around
from promptflow_lite.tools.tokens import tokens_of

__all__ = ["AsyncPrompty", "Prompty"]

_Self = TypeVar("_Self", bound="Prompty")

_log = logging.getLogger("promptflow_lite")


class Prompty:
    """A prompt to call: `prompty(question="...")` returns what its model says.

    In a tool of a running flow it finds the flow's connections, is paced together with the flow's llm nodes,
    and its tokens are the node's.

    Args:
        path: the file.
        model: keys of the front matter's `model` that are other, mappings key by key; `configuration` may be
            a model configuration or a connection.
        changes: other keys of the front matter.

    Raises:
        FlowError: the file is wrong.
    """

    def __init__(self, path: str | Path, model: Mapping[str, Any] | None = None, **changes: Any) -> None:
        self.path = Path(path).absolute()
        over = {**changes, "model": dict(model)} if model else changes
        self.flow, found = read_prompty(self.path, over, shown=str(path))
        if found:
            raise FlowError(found)

    @classmethod
    def load(cls: type[_Self], source: str | Path, **changes: Any) -> _Self:
        """The prompt in the file `source`; `model={...}` changes its model.

        Raises:
            UserError: there is no such file, or it is no .prompty.
            FlowError: it is wrong.
        """
        path = Path(source)
        if path.suffix != ".prompty":
            raise UserError(f"{str(source)!r} is no .prompty file", code="flow-not-found")
        if not path.is_file():
            siblings = [p.name for p in path.parent.glob("*.prompty")] if path.parent.is_dir() else []
            raise UserError(
                f"there is no file {str(source)!r}",
                code="flow-not-found",
                hint=near_miss(path.name, siblings),
            )
        return cls(path, **changes)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {', '.join(self.flow.inputs)})"

    @property
    def name(self) -> str:
        """Its name."""
        return self.flow.display_name or self.flow.name

    @property
    def prompt(self) -> Prompt:
        """What it says of its prompt and its model."""
        prompt: Prompt = self.flow.nodes[0].settings
        return prompt

    def __call__(self, *args: Any, **inputs: Any) -> Any:
        """What the model says: a text, a mapping, or a generator where the prompt asks for a stream.

        Args:
            args: none.
            inputs: by name; without any its sample. `timeout` is the seconds that the answer may take.

        Raises:
            InputError: an input is missing.
            NodeError: the prompt cannot be rendered, or the model did not answer.
        """
        answer = wait_for(self._asked(args, inputs))
        return parts_of(answer) if isinstance(answer, AsyncIterator) else answer

    async def _asked(self, args: tuple[Any, ...], inputs: dict[str, Any]) -> Any:
        given = inputs_of(self.flow, args, inputs)
        flow = around.get()
        connections = provider(settings()) if flow is None else flow.connections
        asking, _ = asking_of(self.flow, connections)
        timeout_s = None if "timeout" in self.flow.inputs else inputs.get("timeout")
        return await asking.answer(given, timeout_s=timeout_s)

    def render(self, *args: Any, **inputs: Any) -> str:
        """The prompt as it would be sent: the messages as Python writes them, or the text of a completion.

        Raises:
            InputError: an input is missing.
            NodeError: it cannot be rendered.
        """
        return str(rendered(self.flow, inputs_of(self.flow, args, inputs)))

    def estimate_token_count(self, *args: Any, **inputs: Any) -> int:
        """About how many tokens the prompt and the longest answer to it have together.

        Raises:
            InputError: an input is missing, or `max_tokens` is no number above 1.
        """
        messages = rendered(self.flow, inputs_of(self.flow, args, inputs))
        longest = self.prompt.parameters.get("max_tokens")
        if longest is None:
            _log.info("%s: max_tokens is not set: only the prompt's tokens are counted", self.path.name)
        elif not isinstance(longest, int) or longest <= 1:
            raise InputError(
                f"max_tokens: expected a whole number above 1, got {longest!r}", code="wrong-input"
            )
        return tokens_of(messages, self.prompt.model) + (longest or 0)


class AsyncPrompty(Prompty):
    """A prompt to await: `await prompty(question="...")` returns what its model says.

    Where the prompt asks for a stream that is an async generator.
    """

    async def __call__(self, *args: Any, **inputs: Any) -> Any:
        """What the model says; as `Prompty`."""
        return await self._asked(args, inputs)


def inputs_of(flow: Flow, args: tuple[Any, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of a prompty, as they are: those given, or its sample; defaults filled in.

    Raises:
        InputError: one is missing, or one was given by place.
    """
    if args:
        raise InputError(
            f"{flow.name} takes its inputs by name",
            code="wrong-input",
            hint=f"it has: {', '.join(flow.inputs)}",
        )
    given = given or flow.sample
    missing = [
        name
        for name, spec in flow.inputs.items()
        if name not in given and spec.default is None and not spec.optional
    ]
    if missing:
        lacking = ", ".join(map(repr, missing))
        strangers = [name for name in given if name not in flow.inputs]
        hint = next(filter(None, (near_miss(name, missing) for name in strangers)), None)
        raise InputError(f"{flow.name}: missing inputs: {lacking}", code="missing-input", hint=hint)
    return {name: given.get(name, spec.default) for name, spec in flow.inputs.items()}
