"""`promptflow._internal`: how an exception becomes the body of an HTTP answer."""

from __future__ import annotations

import traceback
from typing import Any

from promptflow_lite.compat._missing import names_of
from promptflow_lite.compat.exceptions import PromptflowException, UserErrorException
from promptflow_lite.errors import NodeError, UserError

__all__ = ["ErrorResponse", "ExceptionPresenter"]


class ExceptionPresenter:
    """An exception as Prompt flow's services describe one."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    @classmethod
    def create(cls, error: BaseException) -> ExceptionPresenter:
        """The presenter of an exception."""
        return cls(error)

    @property
    def formatted_traceback(self) -> str:
        """The traceback, as a text for logs."""
        return "".join(traceback.format_exception(self._error))

    def to_dict(self, *, include_debug_info: bool = False) -> dict[str, Any]:
        """Code and message; no traceback leaves the process, whatever is asked for."""
        error = self._error
        mendable = isinstance(error, UserErrorException | UserError | NodeError)
        code = "UserError" if mendable else "SystemError"
        inner = error.code if isinstance(error, PromptflowException) else type(error).__name__
        return {"code": code, "message": str(error), "innerError": {"code": inner, "innerError": None}}


class ErrorResponse:
    """The body of an HTTP answer that is an error.

    Args:
        error: what `ExceptionPresenter.to_dict` gives.
    """

    def __init__(self, error: dict[str, Any]) -> None:
        self._error = error

    @property
    def response_code(self) -> str:
        """`400` for what the caller can mend, `500` for the rest."""
        return "400" if self._error.get("code") == "UserError" else "500"

    def to_dict(self) -> dict[str, Any]:
        """The body."""
        return {"error": self._error}

    def to_simplified_dict(self) -> dict[str, Any]:
        """The body with code and message only."""
        return {"error": {key: self._error.get(key) for key in ("code", "message")}}


__getattr__ = names_of("promptflow._internal")
