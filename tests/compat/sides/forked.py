"""Each case in a process of its own: a fork of one that has imported what all need."""

from __future__ import annotations

import json
import math
import os
import random
import re
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.compat.sides.scripted import KINDS

_PLACES = re.compile(r"http://127\.0\.0\.1:\d+|/tmp/[\w./-]*?(?=examples/|src/)|/tmp/[\w-]+")
"""What differs between two runs: the server's port, and the folders of copies."""

Run = Callable[[dict[str, Any]], dict[str, Any]]


def main(run: Run, refused: Callable[[BaseException], str]) -> None:
    """Run the cases of the file that the first argument names; write what came of them to the second."""
    given, results, noise = sys.argv[1:]
    cases = json.loads(Path(given).read_text(encoding="utf-8"))
    outcomes = [_one(run, refused, case, noise) for case in cases]
    Path(results).write_text(json.dumps(outcomes), encoding="utf-8")


def _one(
    run: Run, refused: Callable[[BaseException], str], case: dict[str, Any], noise: str
) -> dict[str, Any]:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.setpgid(0, 0)
        log = os.open(noise, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        random.seed(0)
        KINDS.update(case.get("kinds") or {})
        try:
            outcome = run(case)
        except BaseException as error:
            outcome = {"refused": refused(error), "trace": traceback.format_exc()[-2000:]}
        with os.fdopen(write, "wb") as pipe:
            pipe.write(json.dumps(plain(outcome)).encode())
        os._exit(0)
    os.close(write)
    began = time.monotonic()
    text = _all(read, began + case.get("seconds", 60))
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(read)
    try:
        outcome = json.loads(text)
    except ValueError:
        outcome = {"refused": "took too long, or died"}
    return {"id": case["id"], "seconds": round(time.monotonic() - began, 2), **outcome}


def _all(pipe: int, end: float) -> bytes:
    chunks: list[bytes] = []
    while select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
        chunk = os.read(pipe, 1 << 16)
        if not chunk:
            break
        chunks.append(chunk)
    return b"".join(chunks)


def plain(value: Any) -> Any:
    """What JSON can hold of a value; an image is its name."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return _PLACES.sub("<place>", value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, int | float):
        return value
    return str(value) if type(value).__name__ == "Image" else f"<{type(value).__name__}>"
