"""Who may come in? Two keys, kept as hashes; a file of them is read again when it changes."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from promptflow_lite.errors import UserError

__all__ = ["Keys", "OwnersKeys", "generate", "hashed", "key_of", "make", "renew", "write"]

_PREFIX = "sha256:"
_SHORTEST = 16
_LOOK_AGAIN_S = 1.0


def generate() -> str:
    """A new key: 256 random bits as text."""
    return f"pf-{secrets.token_urlsafe(32)}"


def hashed(key: str) -> str:
    """A key as it is kept. A key has 256 random bits, so one round without salt cannot be searched."""
    return _PREFIX + hashlib.sha256(key.encode()).hexdigest()


def write(file: Path, lines: Iterable[str]) -> None:
    """Keep hashed keys in `file`, for its owner only; a reader sees the old file or the new one."""
    text = "".join(f"{line if line.startswith(_PREFIX) else hashed(line)}\n" for line in lines)
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text(text, encoding="ascii")
    fresh.replace(file)


def make(file: Path) -> list[str]:
    """Two new keys, of which `file` keeps the hashes."""
    made = [generate(), generate()]
    write(file, made)
    return made


def renew(file: Path, which: int) -> str:
    """A new key in the place of the first (0) or second (1) of `file`; the other stays."""
    fresh = generate()
    lines = Keys(file=file).lines()
    lines[which : which + 1] = [fresh]
    write(file, lines)
    return fresh


class Keys:
    """The keys that open an endpoint; without any, it is open to whoever reaches it.

    Args:
        keys: one or two keys, plain or as `hashed` gives them.
        file: one or two lines like `keys`, read again within a second of a change, so that one key can be
            replaced while callers use the other.

    Raises:
        UserError: a key is too short, there are more than two, or the file cannot be read.
    """

    def __init__(self, keys: Iterable[str] = (), *, file: Path | None = None) -> None:
        self._file = file
        self._stamp: tuple[int, int] | None = None
        self._looked = 0.0
        self._hashes = _hashes(keys, "keys")
        if file is not None:
            self._stamp = _stamp(file)
            self._hashes = _read(file)

    @property
    def are_asked_for(self) -> bool:
        """Whether a caller needs a key."""
        return bool(self._hashes)

    def lines(self) -> list[str]:
        """The hashes, as `Keys` takes them: for another process."""
        return [_PREFIX + digest.hex() for digest in self._hashes]

    def admit(self, given: bytes | None) -> bool:
        """Whether `given` is one of the keys; takes as long whichever it is."""
        if self._file is not None:
            self._look_again(self._file)
        digest = hashlib.sha256(given or b"").digest()
        found = False
        for known in self._hashes:
            found |= hmac.compare_digest(digest, known)
        return found and given is not None

    def _look_again(self, file: Path) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_AGAIN_S:
            return
        self._looked = now
        try:
            stamp = _stamp(file)
            if stamp != self._stamp:
                self._hashes = _read(file)
                self._stamp = stamp
        except UserError:  # half written, or gone for a moment: the keys that were read still hold
            return


class OwnersKeys(Keys):
    """The endpoint's keys, and one that only the owner of its folder can read, for `pf endpoint invoke`.

    Args:
        file: the hashed keys; `None` where nobody needs one.
        owners: the owner's key, new at each start.
    """

    def __init__(self, file: Path | None, owners: str) -> None:
        super().__init__(file=file)
        self._owners = owners.encode()

    def admit(self, given: bytes | None) -> bool:
        """Whether `given` is one of the keys; takes as long whichever it is."""
        is_known = super().admit(given)
        return hmac.compare_digest(given or b"", self._owners) or is_known


def key_of(headers: Mapping[bytes, bytes]) -> bytes | None:
    """The key that a request brings: `Authorization: Bearer KEY`, or `api-key: KEY`."""
    authorization = headers.get(b"authorization")
    if authorization is not None and authorization[:7].lower() == b"bearer ":
        return authorization[7:].strip()
    return headers.get(b"api-key")


def _stamp(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError as error:
        hint = f"pf flow key --key-file {file}  makes it" if isinstance(error, FileNotFoundError) else None
        raise UserError(f"key file {file}: {error.strerror}", code="bad-key", hint=hint) from error
    return found.st_mtime_ns, found.st_ino


def _read(file: Path) -> list[bytes]:
    try:
        lines = file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"key file {file}: cannot be read: {error}", code="bad-key") from error
    hashes = _hashes(lines, f"key file {file}")
    if not hashes:
        raise UserError(f"key file {file}: it holds no key", code="bad-key")
    return hashes


def _hashes(keys: Iterable[str], where: str) -> list[bytes]:
    found = []
    for key in keys:
        if key.startswith(_PREFIX):
            try:
                digest = bytes.fromhex(key.removeprefix(_PREFIX))
            except ValueError:
                digest = b""
            if len(digest) != 32:
                raise UserError(f"{where}: a hash is 'sha256:' and 64 hexadecimal digits", code="bad-key")
            found.append(digest)
            continue
        if len(key) < _SHORTEST:
            raise UserError(
                f"{where}: a key has {_SHORTEST} characters or more",
                hint="'pf flow key' makes one",
                code="bad-key",
            )
        found.append(hashlib.sha256(key.encode()).digest())
    if len(found) > 2:
        raise UserError(f"{where}: expected one key or two, got {len(found)}", code="bad-key")
    return found
