"""Where is a batch endpoint kept? In a folder of the home, with its jobs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from promptflow_lite.errors import UserError, near_miss
from promptflow_lite.serving.batch.job import Job
from promptflow_lite.serving.batch.spec import BatchEndpointSpec
from promptflow_lite.serving.kept import Folder, no_deployment
from promptflow_lite.serving.shelf import Shelf

__all__ = ["BatchEndpoints", "Kept", "not_found"]


class Kept(Folder[BatchEndpointSpec]):
    """One batch endpoint's folder."""

    spec = BatchEndpointSpec

    @property
    def jobs_folder(self) -> Path:
        """Where its jobs are."""
        return self.folder / "jobs"

    def check(self, changed: BatchEndpointSpec) -> None:
        """Refuse a default that is no deployment.

        Raises:
            UserError: it is none (code `deployment-not-found`).
        """
        if changed.defaults is not None and changed.defaults.deployment_name not in changed.deployments:
            raise not_found(changed, changed.defaults.deployment_name)

    def job_names(self) -> list[str]:
        """The names of its jobs, the newest first."""
        found: list[tuple[int, str]] = []
        for folder in self.jobs_folder.iterdir() if self.jobs_folder.is_dir() else ():
            with suppress(OSError):  # not asked for yet, or deleted just now
                found.append(((folder / "job.json").stat().st_mtime_ns, folder.name))
        return [name for _, name in sorted(found, reverse=True)]

    def jobs(self, most: int | None = None) -> list[Job]:
        """Its jobs, the newest first, so many at most; what was asked for is read: it may be deleted soon."""
        found: list[Job] = []
        for name in self.job_names()[:most]:
            job = Job(self.jobs_folder / name)
            with suppress(FileNotFoundError):  # deleted just now, by the endpoint that tidies up
                _ = job.asked
                found.append(job)
        return found


class BatchEndpoints(Shelf[Kept]):
    """All batch endpoints of a home folder."""

    def __init__(self, home: Path) -> None:
        super().__init__(home / "batch-endpoints", Kept, "pf batch-endpoint")

    def job(self, name: str) -> tuple[Kept, Job]:
        """The job of that name, and its endpoint.

        Raises:
            UserError: there is none (code `job-not-found`).
        """
        names: list[str] = []
        for endpoint in self.names():
            kept = self.get(endpoint)
            there = kept.job_names()
            if name in there:
                return kept, Job(kept.jobs_folder / name)
            names += there
        hint = near_miss(name, names) or "pf job list  shows them"
        raise UserError(f"no job is named {name!r}", code="job-not-found", hint=hint)


def not_found(spec: BatchEndpointSpec, name: str) -> UserError:
    """The error about a deployment that is not there."""
    return no_deployment(spec, name, "batch endpoint")
