"""Connection files are read safely and written for their owner alone."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from promptflow_lite.connections import files
from promptflow_lite.errors import UserError


def test_what_is_written_is_read_back_and_private(tmp_path: Path) -> None:
    path = tmp_path / "connections" / "mine.yaml"
    body = {"type": "custom", "configs": {"url": "http://x"}, "secrets": {"key": "yes: 'quoted' #1"}}
    files.write(path, "mine", body)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert files.read(path) == {"name": "mine", **body}
    assert [p.name for p in path.parent.iterdir()] == ["mine.yaml"]


def test_a_dotenv_file_is_a_custom_connection_of_secrets(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# keys\nexport A=1\nB = 'x # y'\nC=z # note\n\n", encoding="utf-8")
    assert files.read_dotenv(path) == {
        "type": "custom",
        "configs": {},
        "secrets": {"A": "1", "B": "x # y", "C": "z"},
    }
    path.write_text("A=1\nnothing\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"\.env:2"):
        files.read_dotenv(path)


def test_only_the_name_of_a_variable_is_shown_of_a_secret() -> None:
    body = {"type": "open_ai", "api_key": "sk-1", "base_url": "http://x"}
    assert files.fields_of(body) == {"api_key": "***", "base_url": "http://x"}
    assert files.fields_of({**body, "api_key": "${env:KEY}"})["api_key"] == "${env:KEY}"
    assert files.fields_of({"type": "custom", "secrets": {"a": "b"}, "configs": {"c": "d"}}) == {
        "secrets": {"a": "***"},
        "configs": {"c": "d"},
    }


@pytest.mark.parametrize("name", ["", "1a", "../x", "a/b", "a" * 65, "a b", "a.b"])
def test_a_name_that_could_be_a_path_is_refused(name: str) -> None:
    with pytest.raises(UserError):
        files.check_name(name)


@pytest.mark.parametrize("name", ["a", "_x", "open_ai_connection", "my-conn"])
def test_a_usual_name_is_accepted(name: str) -> None:
    assert files.check_name(name) == name


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_text("type: custom\n" + "#" * 70_000, encoding="utf-8")
    with pytest.raises(UserError, match="larger than"):
        files.read(path)
