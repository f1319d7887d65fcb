"""Where is an endpoint kept? In a folder of the home, with its logs and what is kept of its traffic."""

from __future__ import annotations

from pathlib import Path

from promptflow_lite.errors import UserError
from promptflow_lite.serving.endpoints.spec import EndpointSpec, traffic_complaints
from promptflow_lite.serving.kept import Folder
from promptflow_lite.serving.shelf import Shelf

__all__ = ["Endpoints", "Kept"]


class Kept(Folder[EndpointSpec]):
    """One endpoint's folder."""

    spec = EndpointSpec

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

    def check(self, changed: EndpointSpec) -> None:
        """Refuse traffic that cannot be.

        Raises:
            UserError: as `traffic_complaints` says (code `bad-traffic`).
        """
        wrong = traffic_complaints(changed)
        if wrong:
            lines = [f"endpoint {self.name!r}: {key}: {said}" for key, said in wrong]
            raise UserError("\n".join(lines), code="bad-traffic")


class Endpoints(Shelf[Kept]):
    """All endpoints of a home folder."""

    def __init__(self, home: Path) -> None:
        super().__init__(home / "endpoints", Kept, "pf endpoint")
