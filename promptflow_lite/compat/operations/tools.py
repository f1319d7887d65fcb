"""`PFClient().tools`: the tools of packages and of flows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from promptflow_lite.compat.operations.flows import ValidationResult
from promptflow_lite.compat.sdk_errors import raising
from promptflow_lite.errors import Diagnostic, ToolError, UserError
from promptflow_lite.tools import inventory

__all__ = ["ToolOperations"]


class ToolOperations:
    """The tools of installed packages, and of flows."""

    def list(self, flow: str | Path | None = None) -> dict[str, Any]:
        """What the tools say of themselves: `package` by id, and `code` by script where a flow is named."""
        with raising():
            found: dict[str, Any] = {"package": inventory.of_packages()}
            return found if flow is None else {**found, "code": inventory.of_flow(Path(flow))}

    def validate(self, source: Any, *, raise_error: bool = False, **others: Any) -> ValidationResult:
        """Check a package, a function's dotted path, a script, or a function.

        Raises:
            UserErrorException: something is wrong and `raise_error` is set, or nothing is there.
        """
        with raising():
            name = f"{source.__module__}.{source.__qualname__}" if callable(source) else str(source)
            _, complaints = inventory.validated(name)
            found = tuple(Diagnostic("bad-tool", f"{tool}: {message}") for tool, message in complaints)
            if found and raise_error:
                raise ToolError("\n".join(d.message for d in found), code="bad-tool")
            return ValidationResult(found)

    def _list_tools_in_package(self, package_name: str, raise_error: bool = False) -> dict[str, Any]:
        """What packages made by Prompt flow's `pf tool init` call to list their tools."""
        try:
            return inventory.of_modules(package_name)
        except UserError:
            if raise_error:
                raise
            return {}
