"""Where is a batch endpoint kept? A folder of the home: state, keys, copies of flows, jobs."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from promptflow_lite.errors import UserError, near_miss
from promptflow_lite.serving.batch.job import Job
from promptflow_lite.serving.batch.spec import BatchEndpointSpec
from promptflow_lite.serving.kept import Folder, Shelf

__all__ = ["BatchEndpoints", "Kept"]


class Kept(Folder):
    """One batch endpoint's folder."""

    @property
    def jobs_folder(self) -> Path:
        """Where its jobs are."""
        return self.folder / "jobs"

    def read(self) -> BatchEndpointSpec:
        """The endpoint as it is now.

        Raises:
            UserError: the file is damaged.
        """
        try:
            return BatchEndpointSpec.of_json(json.loads(self.state.read_bytes()))
        except (ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{self.state}: damaged: {error}", code="damaged-endpoint") from error

    def change(self, how: Callable[[BatchEndpointSpec], BatchEndpointSpec]) -> BatchEndpointSpec:
        """The endpoint after a change, which is kept; one change at a time.

        Args:
            how: gives the changed endpoint of the present one.

        Raises:
            UserError: its default is no deployment of it (code `deployment-not-found`).
        """
        with self.alone():
            now = self.read()
            changed = how(now)
            if changed.defaults is not None and changed.defaults.deployment_name not in changed.deployments:
                raise not_found(changed, changed.defaults.deployment_name)
            body = {**changed.to_json(), "change": now.change + 1}
            self.write(body)
            return BatchEndpointSpec.of_json(body)

    def job_names(self) -> list[str]:
        """The names of its jobs, the newest first."""
        found: list[tuple[int, str]] = []
        for folder in self.jobs_folder.iterdir() if self.jobs_folder.is_dir() else ():
            with suppress(OSError):  # not asked for yet, or deleted just now
                found.append(((folder / "job.json").stat().st_mtime_ns, folder.name))
        return [name for _, name in sorted(found, reverse=True)]

    def jobs(self, most: int | None = None) -> list[Job]:
        """Its jobs, the newest first; so many at most."""
        return [Job(self.jobs_folder / name) for name in self.job_names()[:most]]


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
    names = sorted(spec.deployments)
    exist = f"there are: {', '.join(names)}" if names else "there are none"
    return UserError(
        f"batch endpoint {spec.name!r} has no deployment {name!r}; {exist}",
        code="deployment-not-found",
        hint=near_miss(name, names),
    )
