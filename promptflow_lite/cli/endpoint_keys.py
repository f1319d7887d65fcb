"""How are the two keys of an endpoint shown and made anew? The same for online and for batch endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from promptflow_lite.cli.console import emit, emit_json, say, table
from promptflow_lite.serving.kept import Folder
from promptflow_lite.serving.keys import Keys
from promptflow_lite.serving.keys import renew as renew_key

__all__ = ["by_name", "renew", "show_fingerprints", "show_made"]


def by_name(keys: Iterable[str]) -> dict[str, str]:
    """The keys of an endpoint, in their order, as JSON has them."""
    return dict(zip(("primary_key", "secondary_key"), keys, strict=False))


def show_made(kept: Folder[Any], keys: Sequence[str]) -> None:
    """Print the keys of a new endpoint, if it asks for any."""
    if kept.read().auth_mode == "none":
        return
    for name, key in zip(("primary", "secondary"), keys, strict=True):
        emit(f"{name:<10} {key}")
    say("callers need one of the two keys; they are kept as hashes, and shown only now")


def show_fingerprints(file: Path, way_out: str, *, as_json: bool) -> None:
    """Print how the hash of each key begins.

    Args:
        file: where the hashes are kept.
        way_out: the command that makes a lost key anew.
        as_json: for programs.
    """
    found = by_name(line.partition(":")[2][:12] for line in Keys(file=file).lines())
    if as_json:
        emit_json(found)
    else:
        table(("key", "sha256 begins with"), list(found.items()))
    say(f"a lost key is made anew: {way_out}")


def renew(file: Path, key_type: str, *, as_json: bool) -> None:
    """Make one of the two keys anew, `primary` or `secondary`, and print it."""
    fresh = renew_key(file, 0 if key_type == "primary" else 1)
    if as_json:
        emit_json({f"{key_type}_key": fresh})
    else:
        emit(fresh)
        say("kept as a hash; shown only now. A served endpoint takes it within a second")
