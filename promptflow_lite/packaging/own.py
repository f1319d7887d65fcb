"""How does promptflow_lite itself get there? By its version from the index, or as a wheel that goes along.

PEP 610 (`direct_url.json`) tells where an installed package came from; what came from an index says nothing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from promptflow_lite.errors import PromptflowError, UserError

__all__ = ["own_requirement"]

_PACKAGE = "promptflow_lite"
_PATIENCE_S = 600


def own_requirement(into: Path, *, wheel: Path | None = None, say: Callable[[str], None]) -> str:
    """The line of a requirements file that installs this package, as it is here.

    Args:
        into: the folder that the requirements file is in; a wheel goes to `wheels` there.
        wheel: the wheel to take.
        say: is told what takes a while.

    Raises:
        UserError: `wheel` is none of this package's.
        PromptflowError: no wheel can be built of what is installed (`wheel-failed`).
    """
    here = distribution(_PACKAGE)
    wheels = into / "wheels"
    if wheel is not None:
        if not wheel.is_file() or not wheel.name.startswith(f"{_PACKAGE}-") or wheel.suffix != ".whl":
            raise UserError(f"--wheel: {wheel} is no wheel of {_PACKAGE}", code="bad-option")
        wheels.mkdir(parents=True)
        shutil.copyfile(wheel, wheels / wheel.name)
        return f"./wheels/{wheel.name}"
    origin = _origin(here.read_text("direct_url.json"))
    if origin is None:
        return f"{_PACKAGE}=={here.version}"
    say(f"building a wheel of {_PACKAGE} {here.version}: it is not installed from a package index")
    made = _built(origin, wheels)
    return f"./wheels/{made.name}"


def _origin(text: str | None) -> str | None:
    """What pip installs it from once more; `None` for the package index."""
    if text is None:
        return None
    said = json.loads(text)
    url = str(said["url"])
    if "vcs_info" in said:
        return f"{said['vcs_info']['vcs']}+{url}@{said['vcs_info']['commit_id']}"
    return unquote(urlsplit(url).path) if url.startswith("file:") else url


def _built(origin: str, wheels: Path) -> Path:
    isolation = ["--no-build-isolation"] if find_spec("hatchling") else []
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *isolation]
    command += ["--disable-pip-version-check", "--wheel-dir", str(wheels), origin]
    hint = f"name one that is there: --wheel {_PACKAGE}-VERSION-py3-none-any.whl"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S)  # noqa: S603  ours
    except subprocess.TimeoutExpired as error:
        raise PromptflowError(
            f"pip wheel {origin}: no end after {_PATIENCE_S} s", code="wheel-failed", hint=hint
        ) from error
    made = sorted(wheels.glob(f"{_PACKAGE}-*.whl")) if wheels.is_dir() else []
    if done.returncode or not made:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        said = lines[-1] if lines else f"exit code {done.returncode}"
        raise PromptflowError(f"pip wheel {origin}: {said}", code="wheel-failed", hint=hint)
    return made[0]
