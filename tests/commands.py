"""Commands in the process of a test."""

from __future__ import annotations

from promptflow_lite.cli.main import command_tree, run

__all__ = ["pf"]


def pf(*args: object) -> int:
    """The exit code of `pf` with these arguments."""
    return run(command_tree(), "pf", [str(arg) for arg in args])
