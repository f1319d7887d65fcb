"""`promptflow.entities.Run` and `load_run`: what is asked of a run, and what is known of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from promptflow_lite.compat.sdk_errors import raising
from promptflow_lite.runs.request import of_yaml
from promptflow_lite.runs.run import Run as Kept

__all__ = ["Run", "load_run"]


class Run:
    """A run that shall be made (`PFClient().runs.create_or_update(run)`), or one that was.

    Args:
        flow: a flow's folder or file.
        name: a new one is made without it.
        data: the data file.
        variant: `${node.variant}`.
        run: the run this one builds on, or its name.
        column_mapping: flow input to `${data.column}`, `${run.outputs.column}` or a literal.
        display_name: for people.
        description: for people.
        tags: for people.
        environment_variables: set while the flow runs.
        connections: node name to overrides such as `{"connection": "my_azure"}`.
        properties: for programs.
        init: what the class of a flex flow is made with.
        others: `resume_from`; `matrix`, which is ours: what is varied in a run for every combination; and
            what Prompt flow's cloud runs take (`runtime`, `resources`, ...), without effect here.
    """

    def __init__(
        self,
        flow: str | Path | None = None,
        name: str | None = None,
        data: str | Path | None = None,
        variant: str | Sequence[str] | None = None,
        run: Run | str | None = None,
        column_mapping: Mapping[str, Any] | None = None,
        display_name: str | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        *,
        environment_variables: Mapping[str, str] | None = None,
        connections: Mapping[str, Mapping[str, Any]] | None = None,
        properties: Mapping[str, Any] | None = None,
        init: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> None:
        self.flow = flow
        self.name = name
        self.data = data
        self.variant = variant
        self.run = run
        self.column_mapping = column_mapping
        self.display_name = display_name
        self.description = description
        self.tags = dict(tags or {})
        self.environment_variables = dict(environment_variables or {})
        self.connections = dict(connections or {})
        self.properties = dict(properties or {})
        self.init = init
        self.resume_from: str | None = others.get("resume_from")
        self.matrix: dict[str, Any] = dict(others.get("matrix") or {})
        self.status = "NotStarted"
        self.created_on: datetime | None = None
        self.metrics: dict[str, Any] = {}
        self._folder: Path | None = None

    @classmethod
    def of(cls, kept: Kept, folder: Path) -> Run:
        """A run that is in the store."""
        made = cls()
        made.take(kept, folder)
        return made

    def take(self, kept: Kept, folder: Path) -> None:
        """Become what the store says of the run."""
        for field in (
            "flow",
            "name",
            "data",
            "variant",
            "matrix",
            "run",
            "column_mapping",
            "display_name",
            "description",
        ):
            setattr(self, field, getattr(kept, field))
        self.init = getattr(kept, "init", None) or None
        self.tags, self.connections = dict(kept.tags), dict(kept.connections)
        self.environment_variables = dict(kept.environment_variables)
        self.status = kept.status.value
        self.created_on = datetime.fromtimestamp(kept.created, UTC)
        self.metrics = dict(kept.metrics)
        self._folder = folder
        tokens = {
            key: kept.usage.get(key, 0) for key in ("total_tokens", "prompt_tokens", "completion_tokens")
        }
        self.properties = {
            **kept.properties,
            "flow_path": kept.flow,
            "output_path": str(folder),
            "column_mapping": kept.column_mapping,
            "system_metrics": {
                **tokens,
                "duration": kept.seconds,
                "__pf__.lines.completed": kept.lines.completed,
                "__pf__.lines.failed": kept.lines.failed,
            },
        }

    @property
    def output_path(self) -> Path | None:
        """Where its results are, once it was made."""
        return self._folder

    def __repr__(self) -> str:
        return f"<run {self.name!r}: {self.status}>"

    def __str__(self) -> str:
        return str(self.name)

    def _to_dict(self) -> dict[str, Any]:
        """Prompt flow's record of a run; private there too, and used all the same."""
        return {
            "name": self.name,
            "created_on": self.created_on.isoformat() if self.created_on else None,
            "status": self.status,
            "display_name": self.display_name,
            "description": self.description,
            "tags": self.tags,
            "properties": self.properties,
            "flow_name": Path(self.flow).name if self.flow else None,
            "data": str(self.data) if self.data else None,
            "output": str(self._folder) if self._folder else None,
        }


def load_run(
    source: str | Path, params_override: Sequence[Mapping[str, Any]] | None = None, **others: Any
) -> Run:
    """The run that a YAML file asks for; `pf.runs.create_or_update(run)` makes it.

    Args:
        source: the file.
        params_override: mappings of keys to use instead of the file's.
        others: taken for Prompt flow's sake.

    Raises:
        UserErrorException: the file has a key or value that is wrong.
    """
    with raising():
        fields, _ = of_yaml(Path(source))
    for changes in params_override or ():
        fields |= changes
    return Run(**{key: value for key, value in fields.items() if value is not None})
