"""Where is an endpoint kept? A folder of the home: its state, its keys, its copies of flows, its logs.

The state is one file, so that every change is one step: a reader sees it before or after.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from promptflow_lite.errors import UserError
from promptflow_lite.serving.endpoints.spec import EndpointSpec, traffic_complaints
from promptflow_lite.serving.kept import Folder, Shelf

__all__ = ["Endpoints", "Kept"]


class Kept(Folder):
    """One endpoint's folder."""

    @property
    def feedback(self) -> Path:
        """What people said of answers."""
        return self.folder / "feedback.jsonl"

    @property
    def collected(self) -> Path:
        """The folder of requests that were kept, by deployment."""
        return self.folder / "collected"

    def log(self, deployment: str) -> Path:
        """The log of a deployment."""
        return self.folder / "logs" / f"{deployment}.log"

    def read(self) -> EndpointSpec:
        """The endpoint as it is now.

        Raises:
            UserError: the file is damaged.
        """
        try:
            return EndpointSpec.of_json(json.loads(self.state.read_bytes()))
        except (ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{self.state}: damaged: {error}", code="damaged-endpoint") from error

    def change(self, how: Callable[[EndpointSpec], EndpointSpec]) -> EndpointSpec:
        """The endpoint after a change, which is kept; one change at a time.

        Args:
            how: gives the changed endpoint of the present one.

        Raises:
            UserError: the change leaves traffic that cannot be (code `bad-traffic`); nothing is changed.
        """
        with self.alone():
            now = self.read()
            changed = how(now)
            wrong = traffic_complaints(changed)
            if wrong:
                lines = [f"endpoint {self.name!r}: {key}: {said}" for key, said in wrong]
                raise UserError("\n".join(lines), code="bad-traffic")
            body = {**changed.to_json(), "change": now.change + 1}
            self.write(body)
            return EndpointSpec.of_json(body)


class Endpoints(Shelf[Kept]):
    """All endpoints of a home folder."""

    def __init__(self, home: Path) -> None:
        super().__init__(home / "endpoints", Kept, "pf endpoint")
