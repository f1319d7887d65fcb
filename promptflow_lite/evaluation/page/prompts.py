"""Which messages did a node send? Its template in the run's snapshot, with the inputs that were recorded.

A journal keeps the inputs of a node and not its prompt, which follows from them. Where it does not follow (no
snapshot, a prompt that another node wrote, a flow that is no longer read), there is none to show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from promptflow_lite.errors import PromptflowError
from promptflow_lite.flow.load import load_flow
from promptflow_lite.flow.spec import Flow, Node
from promptflow_lite.flow.variants import choose_variants, parse_choices
from promptflow_lite.prompts import template as text_template
from promptflow_lite.prompts.chat import compile_chat
from promptflow_lite.runs.run import Run
from promptflow_lite.tools.prompt import template_of
from promptflow_lite.tools.prompty import rendered
from promptflow_lite.tools.registered import fetched

__all__ = ["Prompts"]

Messages = list[dict[str, Any]]
Render = Callable[[Mapping[str, Any]], Messages]


class Prompts:
    """The prompts of a flow's nodes.

    Args:
        flow: its variants chosen, its registered prompts fetched; `None` where it cannot be read.
    """

    def __init__(self, flow: Flow | None) -> None:
        self._renders: dict[str, Render] = {}
        if flow is None:
            return
        for node in flow.nodes:
            with suppress(PromptflowError, OSError):
                if (render := _render(node, flow)) is not None:
                    self._renders[node.name] = render

    @classmethod
    def of_run(cls, run: Run, folder: Path) -> Prompts:
        """Those of a run, as it had them.

        Args:
            run: the run.
            folder: its folder.
        """
        with suppress(PromptflowError, OSError):
            return cls(_flow(run, folder / "snapshot"))
        return cls(None)

    def of(self, node: str, inputs: Mapping[str, Any]) -> Messages:
        """The messages of a node for these inputs: `role` and `content` each; none where not known."""
        render = self._renders.get(node)
        if render is not None:
            with suppress(PromptflowError, OSError):
                return render(inputs)
        return []


def _flow(run: Run, snapshot: Path) -> Flow:
    name = Path(run.flow).name
    flow = load_flow(snapshot / name if (snapshot / name).is_file() else snapshot)
    return fetched(choose_variants(flow, parse_choices(run.variant)) if flow.node_variants else flow)


def _render(node: Node, flow: Flow) -> Render | None:
    if node.type == "prompty":
        return lambda inputs: _as_messages(rendered(flow, inputs))
    if node.type != "llm" or "prompt" in node.inputs:
        return None
    text, file = template_of(node, flow)
    if node.api == "completion":
        plain = text_template.compile(text, file)
        return lambda inputs: _as_messages(plain.render(inputs))
    chat = compile_chat(text, file)
    return lambda inputs: [message.to_openai() for message in chat.render(inputs)]


def _as_messages(prompt: str | Messages) -> Messages:
    return [{"role": "prompt", "content": prompt}] if isinstance(prompt, str) else prompt
