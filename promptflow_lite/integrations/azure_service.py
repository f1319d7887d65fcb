"""How is Azure AI Search opened, and what does its refusal mean? The same for searches and for pushes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from promptflow_lite.connections.base import Connection
from promptflow_lite.errors import MissingExtra
from promptflow_lite.tools.failure import ModelError, wait_asked_for

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError

__all__ = ["credential_of", "failure_of"]


def credential_of(connection: Connection) -> Any:
    """What the service knows the connection by: its key, or a token of Microsoft Entra.

    Raises:
        MissingExtra: a token is wanted, and `azure-identity` is not installed.
    """
    if connection.get("auth_mode") == "meid_token":
        try:
            from azure.identity.aio import DefaultAzureCredential
        except ImportError as error:
            raise MissingExtra("azure-identity", "entra") from error
        return DefaultAzureCredential()
    from azure.core.credentials import AzureKeyCredential

    return AzureKeyCredential(connection["api_key"])


_CODES = {401: "auth", 403: "auth", 404: "search-index-not-found", 408: "timeout", 429: "rate-limited"}
_LONGEST_MESSAGE = 1000


def failure_of(error: AzureError, index: str) -> ModelError:
    """The error that a model's endpoint would get for the same: its code, and whether to try again."""
    from azure.core.exceptions import (
        HttpResponseError,
        ServiceRequestError,
        ServiceRequestTimeoutError,
        ServiceResponseError,
        ServiceResponseTimeoutError,
    )

    where = f"Azure AI Search, index {index!r}"
    if isinstance(error, HttpResponseError) and error.status_code is not None:
        status = error.status_code
        code = _CODES.get(status) or _family(status)
        said = (error.error.message if error.error is not None else None) or error.reason or "without a word"
        response: Any = error.response  # its declared type leaves the headers out
        return ModelError(
            f"{where}: {status} {said[:_LONGEST_MESSAGE]}",
            code=code,
            retryable=status in (408, 429) or status >= 500,
            slows=status in (429, 503),
            wait_s=wait_asked_for(response.headers.get) if response is not None else None,
        )
    late = isinstance(error, ServiceRequestTimeoutError | ServiceResponseTimeoutError)
    # A body that cannot be read is not one that comes late: only a broken connection is worth another try.
    broken = isinstance(error, ServiceRequestError | ServiceResponseError)
    return ModelError(
        f"{where}: {error.message[:_LONGEST_MESSAGE]}",
        code="timeout" if late else "connection",
        retryable=broken,
    )


def _family(status: int) -> str:
    if status >= 500:
        return "server-error"
    return "bad-request" if status >= 400 else "bad-answer"
