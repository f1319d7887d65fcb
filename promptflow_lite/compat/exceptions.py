"""`promptflow.exceptions`: what flow code raises and catches."""

from __future__ import annotations

from enum import Enum
from typing import Any

from promptflow_lite.compat._missing import names_of
from promptflow_lite.errors import PromptflowError

__all__ = [
    "ErrorTarget",
    "PromptflowException",
    "SystemErrorException",
    "UserErrorException",
    "ValidationException",
]


class ErrorTarget(str, Enum):  # noqa: UP042  (Prompt flow's str() of a member is not its value)
    """Prompt flow's word for the part that failed."""

    EXECUTOR = "Executor"
    BATCH = "Batch"
    CORE = "Core"
    FLOW_EXECUTOR = "FlowExecutor"
    NODE_EXECUTOR = "NodeExecutor"
    TOOL = "Tool"
    RUNTIME = "Runtime"
    UNKNOWN = "Unknown"
    RUN_STORAGE = "RunStorage"
    CONTROL_PLANE_SDK = "ControlPlaneSDK"
    SERVING_APP = "ServingApp"
    FLOW_INVOKER = "FlowInvoker"
    FUNCTION_PATH = "FunctionPath"


class PromptflowException(PromptflowError):
    """The root of what flow code raises.

    Args:
        message: the text; without it `message_format` is filled with the other keywords.
        message_format: a `str.format` text.
        target: the part that failed.
        module: the module that failed.
        facts: values for `message_format`, and `error`, the cause.
    """

    def __init__(
        self,
        message: object = "",
        message_format: str = "",
        target: ErrorTarget = ErrorTarget.UNKNOWN,
        module: str | None = None,
        **facts: Any,
    ) -> None:
        text = str(message) or (
            message_format.format_map(_Named(facts)) if message_format else type(self).__name__
        )
        super().__init__(text, code=type(self).__name__)
        self.message_format = message_format
        self.target = target
        self.module = module
        self.inner_exception: BaseException | None = facts.get("error")

    @property
    def reference_code(self) -> str:
        """The part that failed, as a text."""
        return self.target.value if isinstance(self.target, ErrorTarget) else str(self.target)

    @property
    def error_codes(self) -> list[str]:
        """The classes of the error, the widest first."""
        kinds = [kind.__name__ for kind in type(self).__mro__ if issubclass(kind, PromptflowException)]
        names = {"UserErrorException": "UserError", "SystemErrorException": "SystemError"}
        return [names.get(name, name) for name in reversed(kinds) if name != "PromptflowException"]

    @property
    def additional_info(self) -> dict[str, Any] | None:
        """What else is known: nothing, unless a class of the user's says so."""
        return None


class _Named(dict[str, Any]):
    def __missing__(self, name: str) -> str:
        return f"<{name}>"


class UserErrorException(PromptflowException):
    """The caller can mend it."""


class SystemErrorException(PromptflowException):
    """The caller cannot mend it."""


class ValidationException(UserErrorException):
    """A value is not what it must be."""


__getattr__ = names_of("promptflow.exceptions")
