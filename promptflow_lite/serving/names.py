"""What may an endpoint or a deployment be called? As in Azure ML."""

from __future__ import annotations

import re

from promptflow_lite.errors import UserError

__all__ = ["NAME", "NAME_IS", "check_name"]

NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{2,31}")
"""Azure ML: a letter, then letters, digits and dashes, 3 to 32."""
NAME_IS = "a letter, then letters, digits and dashes, 3 to 32"


def check_name(name: str, of: str) -> None:
    """Refuse a name that cannot be one.

    Args:
        name: of an endpoint or a deployment.
        of: which, for the message: `an endpoint`.

    Raises:
        UserError: it is none (code `bad-name`).
    """
    if NAME.fullmatch(name) is None:
        raise UserError(f"{name!r} is no name of {of}: {NAME_IS}", code="bad-name")
