"""How does one request cross the network? Sent once, its answer bounded in time and in size."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from promptflow_lite.tools.endpoint import Endpoint
from promptflow_lite.tools.failure import ModelError
from promptflow_lite.tools.received import (
    CONNECT_S,
    Header,
    body_of,
    broken,
    headers_of,
    is_the_clients,
    parsed,
    reason_of,
    refusal,
)

if TYPE_CHECKING:
    from wreq import Client

__all__ = ["connect", "fetch", "post"]


def connect() -> Client:
    """A client, to be kept: its connections are used again."""
    from importlib.metadata import version  # noqa: PLC0415  # heavy: first use

    from wreq import Client  # noqa: PLC0415  # heavy: first use
    from wreq.dns import DnsOptions  # noqa: PLC0415  # heavy: first use
    from wreq.redirect import Policy  # noqa: PLC0415  # heavy: first use
    from wreq.tls import CertStore  # noqa: PLC0415  # heavy: first use

    return Client(
        user_agent=f"promptflow_lite/{version('promptflow_lite')}",
        headers={"accept": "application/json", "content-type": "application/json"},
        connect_timeout=timedelta(seconds=CONNECT_S),
        redirect=Policy.none(),
        http1_only=True,
        dns_options=DnsOptions(system_dns=True),
        tls_verify=CertStore(default_paths=True),
    )


async def post(client: Client, endpoint: Endpoint, url: str, payload: bytes) -> tuple[dict[str, Any], Header]:
    """The answer to one request, an object of JSON, and its headers.

    Raises:
        ModelError: the endpoint refused, or did not answer sensibly in time.
    """
    try:
        response = await client.post(
            url,
            headers=endpoint.headers or await endpoint.headers_now(),
            body=payload,
            timeout=endpoint.timeout,
        )
        data = await body_of(response, endpoint)
    except ModelError:
        raise
    except Exception as error:
        raise broken(error, endpoint) from error
    header = headers_of(response)
    status = response.status.as_int()
    if status != 200:
        raise refusal(status, header, data, endpoint)
    return parsed(data, endpoint), header


def fetch(address: str, query: Mapping[str, str], *, seconds: float) -> tuple[int, Header, bytes]:
    """Status, headers and body of a plain GET; blocks.

    Raises:
        ModelError: there was no answer.
    """
    from wreq.blocking import Client  # noqa: PLC0415  # heavy: first use
    from wreq.dns import DnsOptions  # noqa: PLC0415  # heavy: first use
    from wreq.redirect import Policy  # noqa: PLC0415  # heavy: first use
    from wreq.tls import CertStore  # noqa: PLC0415  # heavy: first use

    client = Client(
        timeout=timedelta(seconds=seconds),
        connect_timeout=timedelta(seconds=CONNECT_S),
        redirect=Policy.none(),
        dns_options=DnsOptions(system_dns=True),
        tls_verify=CertStore(default_paths=True),
    )
    try:
        response = client.get(address, query=dict(query))
        return response.status.as_int(), headers_of(response), bytes(response.bytes())
    except Exception as error:
        if not is_the_clients(error):
            raise
        raise ModelError(reason_of(str(error)), code="connection") from error
