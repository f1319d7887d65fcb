"""What is a batch endpoint, and what is a deployment of it? Plain data, as JSON can hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = [
    "BatchDeploymentSpec",
    "BatchEndpointSpec",
    "Defaults",
    "Jobs",
    "Resources",
    "RetrySettings",
    "Settings",
]


@dataclass(frozen=True, kw_only=True)
class RetrySettings:
    """What happens to rows that fail. Calls of models have retries of their own."""

    max_retries: int = 0
    """How often failed rows are run again."""
    timeout: float = 600
    """Seconds that a row may take. Azure's own 30 would end chains of calls."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a job goes, with Azure's names."""

    mini_batch_size: int = 10
    """Rows that one process has in flight."""
    max_concurrency_per_instance: int = 1
    """Processes."""
    output_action: Literal["append_row", "summary_only"] = "append_row"
    output_file_name: str = "predictions.csv"
    retry_settings: RetrySettings = RetrySettings()
    error_threshold: int | None = None
    """Failed rows after which a job stops, -1 for never; `None`: if the first all fail for one cause."""
    logging_level: Literal["error", "warning", "info", "debug"] = "info"
    environment_variables: Mapping[str, str] = field(default_factory=dict)
    id_column: str = "id"
    """Ours: the column of the data that a prediction is told by, beside its row's number."""
    tracking: bool = False
    """Ours: whether MLflow is told of a job that has ended."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a job gets."""

    instance_count: int = 1
    """Multiplies the processes."""


@dataclass(frozen=True, kw_only=True)
class BatchDeploymentSpec:
    """One deployment of a batch endpoint."""

    name: str
    source: str
    """The flow, as it is loaded: our copy of it."""
    flow: str
    """Where that was copied from; of a model, its address with its version."""
    model: str = ""
    """The address of the model that the flow was fetched from, as it was asked for; empty for a folder."""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    variants: Mapping[str, str] = field(default_factory=dict)
    connections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    column_mapping: Mapping[str, Any] = field(default_factory=dict)
    init: Mapping[str, Any] = field(default_factory=dict)
    resources: Resources = Resources()
    settings: Settings = Settings()

    @property
    def workers(self) -> int:
        """How many processes run the flow."""
        return self.resources.instance_count * self.settings.max_concurrency_per_instance

    @classmethod
    def of_json(cls, body: Mapping[str, Any]) -> BatchDeploymentSpec:
        """A deployment as it was kept, or as a file asks for it; what it leaves out has its default."""
        settings = body.get("settings", {})
        retries = RetrySettings(**settings.get("retry_settings", {}))
        parts = {
            "settings": Settings(**{**settings, "retry_settings": retries}),
            "resources": Resources(**body.get("resources", {})),
        }
        return cls(**{**body, **parts})


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """Who answers callers that name nobody."""

    deployment_name: str


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """How much of the machine callers get. Ours."""

    max_running: int = 1
    """Jobs at once."""
    max_queued: int = 16
    """Jobs that wait; a caller who comes then is told to come back."""
    max_upload_bytes: int = 100 * 1024 * 1024
    """The largest file that a caller sends."""
    max_kept_bytes: int = 10 * 1024 * 1024 * 1024
    """What all files that callers have sent may take, until their jobs are removed."""
    keep_days: float = 30
    """How long a job that has ended is kept, with its data, its run and its predictions."""


@dataclass(frozen=True, kw_only=True)
class BatchEndpointSpec:
    """A batch endpoint and its deployments."""

    name: str
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    auth_mode: Literal["key", "none"] = "key"
    defaults: Defaults | None = None
    data_folders: tuple[str, ...] = ()
    """Where paths that callers name may lead; absolute."""
    jobs: Jobs = Jobs()
    deployments: Mapping[str, BatchDeploymentSpec] = field(default_factory=dict)
    change: int = 0
    """Counts the changes."""

    @property
    def default(self) -> str | None:
        """The deployment of callers that name none."""
        if self.defaults is not None:
            return self.defaults.deployment_name
        return next(iter(self.deployments)) if len(self.deployments) == 1 else None

    def to_json(self) -> dict[str, Any]:
        """The endpoint as it is kept."""
        return asdict(self)

    @classmethod
    def of_json(cls, body: Mapping[str, Any]) -> BatchEndpointSpec:
        """An endpoint as it was kept."""
        defaults = body.get("defaults")
        parts = {
            "defaults": Defaults(**defaults) if defaults else None,
            "data_folders": tuple(body.get("data_folders", ())),
            "jobs": Jobs(**body.get("jobs", {})),
            "deployments": {
                name: BatchDeploymentSpec.of_json(d) for name, d in body.get("deployments", {}).items()
            },
        }
        return cls(**{**body, **parts})
