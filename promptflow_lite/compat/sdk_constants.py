"""`promptflow._sdk._constants`: which runs a list shows."""

from __future__ import annotations

from enum import Enum

from promptflow_lite.compat._missing import names_of

__all__ = ["ListViewType", "RunStatus"]


class ListViewType(str, Enum):  # noqa: UP042  (Prompt flow's str() of a member is not its value)
    """Which runs a list shows."""

    ACTIVE_ONLY = "ActiveOnly"
    ARCHIVED_ONLY = "ArchivedOnly"
    ALL = "All"

    def shows(self, *, archived: bool) -> bool:
        """Whether a run that is put away, or is not, is shown."""
        return self is ListViewType.ALL or archived == (self is ListViewType.ARCHIVED_ONLY)


class RunStatus:
    """How a run is."""

    COMPLETED = "Completed"
    FAILED = "Failed"
    RUNNING = "Running"
    CANCELED = "Canceled"
    NOT_STARTED = "NotStarted"


__getattr__ = names_of("promptflow._sdk._constants")
