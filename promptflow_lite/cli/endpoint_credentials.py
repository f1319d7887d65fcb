"""`get-credentials` and `regenerate-keys`, of `pf endpoint` and of `pf batch-endpoint`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from promptflow_lite.cli.console import Group
from promptflow_lite.cli.endpoint_options import EndpointName, KeyOf, KeyType
from promptflow_lite.cli.options import Output, Outputs

if TYPE_CHECKING:
    from promptflow_lite.serving.kept import Folder

__all__ = ["add_to"]


def add_to(app: Group, command: str, name: str, get: Callable[[str], Folder[Any]]) -> None:
    """Give a group its two commands about keys.

    Args:
        app: the group.
        command: as it is typed, `pf endpoint`.
        name: of the endpoint in the examples.
        get: an endpoint of that kind by its name.
    """

    @app.command("get-credentials", examples=f"{command} get-credentials --name {name}")
    def get_credentials(name: EndpointName, output: Outputs = Output.table) -> None:
        """Show what tells the two keys apart: the keys themselves are kept as hashes, and shown when made."""
        from promptflow_lite.cli import endpoint_keys

        way_out = f"{command} regenerate-keys --name {name} --key-type primary"
        endpoint_keys.show_fingerprints(get(name).keys, way_out, as_json=output is Output.json)

    @app.command("regenerate-keys", examples=f"{command} regenerate-keys --name {name} --key-type secondary")
    def regenerate_keys(
        name: EndpointName, key_type: KeyOf = KeyType.primary, output: Outputs = Output.table
    ) -> None:
        """Make one of the two keys anew, and show it, once; callers with the other are served on."""
        from promptflow_lite.cli import endpoint_keys

        endpoint_keys.renew(get(name).keys, key_type, as_json=output is Output.json)
