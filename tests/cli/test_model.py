"""`pf model` lists, finds and deletes weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from promptflow_lite.settings import settings
from tests.commands import pf

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PF_MODELS", str(tmp_path))
    settings.cache_clear()
    return tmp_path


def test_the_catalogue_and_ones_own_files_are_listed(cache: Path, capsys: Capture) -> None:
    (cache / "mine.gguf").write_bytes(b"GGUF1234")
    assert pf("model", "list", "--output", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(r["name"], r["default"], r["path"]) for r in rows] == [
        ("qwen2.5-coder-0.5b", True, None),
        ("qwen2.5-coder-1.5b", False, None),
        ("smollm2-135m", False, None),
        ("mine", False, str(cache / "mine.gguf")),
    ]
    assert pf("model", "list") == 0
    assert "mine" in capsys.readouterr().out


def test_a_path_is_printed_for_what_is_here(cache: Path, capsys: Capture) -> None:
    (cache / "mine.gguf").write_bytes(b"GGUF1234")
    assert pf("model", "path", "mine") == 0
    assert capsys.readouterr().out == f"{cache / 'mine.gguf'}\n"
    assert pf("model", "path") == 2
    assert "pf model pull qwen2.5-coder-0.5b" in capsys.readouterr().err


def test_weights_are_deleted_when_one_means_it(cache: Path, capsys: Capture) -> None:
    (cache / "mine.gguf").write_bytes(b"GGUF1234")
    assert pf("model", "delete", "mine") == 2
    assert pf("model", "delete", "mine", "--yes") == 0
    assert not (cache / "mine.gguf").exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["pull", "smollm"], "did you mean 'smollm2-135m'?"),
        (["pull", "smollm2-135m", "--sha256", "0"], "goes with a URL"),
        (["pull", "ftp://x/m.gguf"], "expected an http(s) URL"),
        (["path", "nobody"], "no embedded model is named 'nobody'"),
    ],
)
def test_wrong_use_says_what_to_do(cache: Path, capsys: Capture, args: list[str], said: str) -> None:
    assert pf("model", *args) == 2
    assert said in capsys.readouterr().err
