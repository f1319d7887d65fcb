"""Builds and updates killed with SIGKILL at drawn instants: nothing breaks, nothing kept is made again."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from promptflow_lite.retrieval.index import Index

_BUILD = """
    import asyncio, json, sys, time
    from pathlib import Path
    import numpy as np
    from promptflow_lite.retrieval.build import build

    source, output, log, seconds = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4])

    class Slow:
        name, dimension = "slow", 2
        def embed(self, texts):
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(list(texts)) + "\\n")
            time.sleep(seconds)
            return np.array([[1.0, len(text)] for text in texts], dtype=np.float32) / 50

    print("ready", flush=True)
    asyncio.run(build([str(source)], output, embedder=Slow(), size=40, overlap=0))
    print("done", flush=True)
"""
_ROWS = 64 * 12
_KILLS = 5


def building(folder: Path, log: Path, seconds: float) -> subprocess.Popen[str]:
    arguments = [str(folder / "rows.jsonl"), str(folder / "m.index"), str(log), str(seconds)]
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_BUILD), *arguments], stdout=subprocess.PIPE, text=True
    )


def batches(log: Path) -> list[list[str]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []


def write_rows(folder: Path, word: str) -> None:
    rows = [json.dumps({"id": f"r{n}", "content": f"{word} row {n}"}) for n in range(_ROWS)]
    (folder / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")


def holds(folder: Path, word: str) -> bool:
    """Whether the index is whole, and of the rows of that word."""
    index = Index(folder / "m.index")
    try:
        by_word = index.search(word, mode="keyword", top_k=_ROWS)
        vector = np.array([1, 0], dtype=np.float32)
        by_vector = index.search("", vector, mode="vector", top_k=_ROWS)
        return len(by_word) == len(by_vector) == index.info.chunks == _ROWS
    finally:
        index.close()


@pytest.mark.parametrize(("is_update", "seed"), [(False, 1), (True, 2)])
def test_whenever_it_is_killed_an_index_is_whole_and_its_vectors_are_made_once(
    tmp_path: Path, is_update: bool, seed: int
) -> None:
    chance = random.Random(seed)
    if is_update:
        write_rows(tmp_path, "old")
        said, _ = building(tmp_path, tmp_path / "old.log", 0).communicate(timeout=60)
        assert said == "ready\ndone\n"
    write_rows(tmp_path, "new")
    logs = [tmp_path / f"{number}.log" for number in range(_KILLS + 1)]
    for log in logs[:-1]:
        process = building(tmp_path, log, 0.03)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0.02, 0.2))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        if is_update:
            assert holds(tmp_path, "old") or holds(tmp_path, "new")
        else:
            assert not (tmp_path / "m.index").exists() or holds(tmp_path, "new")
    said, _ = building(tmp_path, logs[-1], 0).communicate(timeout=60)
    assert said == "ready\ndone\n"
    assert holds(tmp_path, "new")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]

    # A batch that was being made when the kill came is lost; every other one is made once.
    made = [batches(log) for log in logs]
    kept = [text for killed in made[:-1] for batch in killed[:-1] for text in batch]
    kept += [text for batch in made[-1] for text in batch]
    lost = [text for killed in made[:-1] for batch in killed[-1:] for text in batch]
    assert len(kept) == len(set(kept))
    assert set(kept) | set(lost) == {f"new row {n}" for n in range(_ROWS)}
    assert any(made[:-1])  # else no kill came in the middle of anything
