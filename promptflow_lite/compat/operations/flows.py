"""`PFClient().flows`: try a flow, check it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptflow_lite.api import flows as calling
from promptflow_lite.api.inputs import read_inputs
from promptflow_lite.api.loop import wait_for
from promptflow_lite.api.saving import save_flex
from promptflow_lite.compat.sdk_errors import InvalidFlowError, raising
from promptflow_lite.connections.store import provider
from promptflow_lite.errors import Diagnostic, FlowError
from promptflow_lite.flow.check import check
from promptflow_lite.flow.images import keep
from promptflow_lite.flow.load import load_flow
from promptflow_lite.flow.spec import Flow
from promptflow_lite.settings import settings

__all__ = ["FlowOperations", "ValidationResult"]


@dataclass(frozen=True)
class ValidationResult:
    """What a check found."""

    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no complaint is an error."""
        return not any(d.severity == "error" for d in self.diagnostics)

    @property
    def error_messages(self) -> dict[str, str]:
        """The message of each error, by the key it is about."""
        errors = [d for d in self.diagnostics if d.severity == "error"]
        return {d.mark.key if d.mark else "": d.message for d in errors}

    def __str__(self) -> str:
        return "\n".join(d.render() for d in self.diagnostics) or "no complaints"


def _with_paths(value: Any, flow: Flow) -> Any:
    """`value` with each image in a file beside the flow, and its path in its place, as Prompt flow has it."""
    folder = flow.folder / ".promptflow" / "output"
    return keep(value, flow.message_format, folder, shown=f"{folder.as_posix()}/")


class FlowOperations:
    """Flows of folders and files."""

    def test(
        self,
        flow: str | Path,
        *,
        inputs: Mapping[str, Any] | str | Path | None = None,
        variant: str | None = None,
        node: str | None = None,
        environment_variables: Mapping[str, str] | None = None,
        init: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> Any:
        """The outputs of a flow for one line, or the output of one node.

        Args:
            flow: a flow's folder or file.
            inputs: by name, or a `.json` or `.jsonl` file (its first line); for a node by parameter, or as
                `inputs.NAME` and `NODE.output`.
            variant: `${node.variant}`.
            node: run only this node.
            environment_variables: set while the flow runs.
            init: what the class of a flex flow is made with.
            others: taken for Prompt flow's sake.

        Raises:
            UserErrorException: the flow or the inputs are wrong, or a node failed.
        """
        with raising():
            given = read_inputs(inputs) if isinstance(inputs, str | Path) else dict(inputs or {})
            made = {"init": dict(init)} if init else {}
            loaded = calling.load_flow(
                flow, variant=variant, environment_variables=environment_variables, **made
            )
            if node is not None:
                return _with_paths(calling.test(loaded, given, node=node), loaded.flow)
            lines = [n for n in loaded.flow.nodes if not n.aggregation]
            is_call = len(lines) == 1 and lines[0].type in ("flex", "prompty")
            tested = calling.Tested(loaded.invoke(given), None) if is_call else wait_for(loaded.atest(given))
            prints = (tested.line.logs, tested.aggregation.logs if tested.aggregation else "")
            print(*prints, sep="", end="")  # what the tools printed, as a script expects
            outputs = calling.outputs_of_test(tested)
            if is_call:
                return tested.line.node_runs[lines[0].name].output  # as the function gave it
            return _with_paths(outputs, loaded.flow)

    def save(
        self,
        entry: str | Callable[..., Any],
        code: str | Path | None = None,
        path: str | Path | None = None,
        *,
        python_requirements_txt: str | None = None,
        image: str | None = None,
        sample: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> Path:
        """Write a flow.flex.yaml for a function or a class; where it is.

        Args:
            entry: `module:name`, or the function or class.
            code: the folder of the code; without it the working directory.
            path: a folder that the code is copied to first.
            python_requirements_txt: of the flow's environment.
            image: of the flow's environment.
            sample: inputs to try it with.
            others: taken for Prompt flow's sake.

        Raises:
            UserErrorException: the entry is not in the code, or a folder is not as it must be.
        """
        environment = {"python_requirements_txt": python_requirements_txt, "image": image}
        more = {
            "environment": {key: value for key, value in environment.items() if value},
            "sample": dict(sample or {}),
        }
        with raising():
            return save_flex(
                entry if isinstance(entry, str) else f"{entry.__module__}:{entry.__qualname__}",
                code=Path(code or ""),
                path=Path(path) if path is not None else None,
                more={key: value for key, value in more.items() if value},
            )

    def validate(self, flow: str | Path, *, raise_error: bool = False, **others: Any) -> ValidationResult:
        """Every complaint about a flow's files; nothing of the flow is imported.

        Raises:
            InvalidFlowError: there is an error, and `raise_error` is set.
        """
        with raising():
            try:
                found = check(load_flow(flow), provider(settings()).names())
            except FlowError as error:
                found = list(error.diagnostics)
        result = ValidationResult(tuple(found))
        if raise_error and not result.passed:
            raise InvalidFlowError(str(result))
        return result
