"""`promptflow._sdk._errors`: what users' code catches of `PFClient`; and how our errors become those."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from promptflow_lite.compat._missing import names_of
from promptflow_lite.compat.exceptions import ErrorTarget, PromptflowException, UserErrorException
from promptflow_lite.errors import ConnectionNotFound, FlowError, NodeError, PromptflowError, RunNotFound

__all__ = [
    "ConnectionNameNotSetError",
    "ConnectionNotFoundError",
    "InvalidFlowError",
    "InvalidRunError",
    "InvalidRunStatusError",
    "RunExistsError",
    "RunNotFoundError",
    "RunOperationError",
    "SDKError",
    "ToolExecutionError",
    "as_prompt_flow",
    "raising",
]


class SDKError(UserErrorException):
    """The root of what `PFClient` raises."""


class RunExistsError(SDKError):
    """A run has that name."""


class RunNotFoundError(SDKError):
    """No run has that name."""


class InvalidRunStatusError(SDKError):
    """A run ended in another way than was asked for."""


class InvalidRunError(SDKError):
    """A run cannot be executed as it is."""


class InvalidFlowError(SDKError):
    """A flow's files are wrong."""


class ConnectionNotFoundError(SDKError):
    """No connection has that name."""


class ConnectionNameNotSetError(SDKError):
    """A connection without a name."""


class RunOperationError(SDKError):
    """What was asked of a run cannot be done."""


class ToolExecutionError(UserErrorException):
    """A node failed."""


_BY_CODE = {
    "run-exists": RunExistsError,
    "run-busy": RunOperationError,
    # Prompt flow makes a run that is Failed of these, and raises when it is streamed.
    "bad-column-mapping": InvalidRunStatusError,
    "input-error": InvalidRunStatusError,
    "no-lines": InvalidRunStatusError,
}


def as_prompt_flow(error: PromptflowError) -> PromptflowException:
    """The exception that Prompt flow raises in the place of one of ours, with our text and code."""
    if isinstance(error, PromptflowException):
        return error
    kind: type[PromptflowException] = UserErrorException
    match error:
        case RunNotFound():
            kind = RunNotFoundError
        case ConnectionNotFound():
            kind = ConnectionNotFoundError
        case FlowError():
            kind = InvalidFlowError
        case NodeError():
            kind = ToolExecutionError
        case _:
            kind = _BY_CODE.get(error.code, UserErrorException)
    raised = kind(error.message, target=ErrorTarget.CONTROL_PLANE_SDK, error=error)
    raised.code, raised.hint = error.code, error.hint
    return raised


@contextmanager
def raising() -> Iterator[None]:
    """Whatever of ours is raised inside leaves as Prompt flow's."""
    try:
        yield
    except PromptflowException:
        raise
    except PromptflowError as error:
        raise as_prompt_flow(error) from error


__getattr__ = names_of("promptflow._sdk._errors")
