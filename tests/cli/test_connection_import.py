"""`pf connection import`: what Prompt flow keeps on a machine is taken over."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from promptflow_lite.connections.store import provider
from promptflow_lite.settings import settings
from tests.commands import pf

KEY = Fernet.generate_key()


def _imported(*args: object) -> int:
    return pf("connection", "import", *args)


def _sealed(text: str) -> str:
    return Fernet(KEY).encrypt(text.encode()).decode()


def _azure(**more: Any) -> dict[str, Any]:
    return {
        "api_base": "https://x",
        "api_type": "azure",
        "api_version": "2024-02-01",
        "auth_mode": "key",
        "resource_id": None,
        **more,
    }


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A home of Prompt flow 1.18: the table as it makes it, secrets sealed as it seals them."""
    custom = {
        "base": {"configValueType": "String", "value": "b"},
        "promptflow.connection.custom_type": {"configValueType": "String", "value": "Mine"},
        "promptflow.connection.module": {"configValueType": "String", "value": "my.tools"},
        "key": {"configValueType": "Secret", "value": _sealed("custom-secret")},
    }
    rows = [
        ("az", "AzureOpenAI", json.dumps(_azure(api_key=_sealed("az-secret"))), "{}"),
        ("by_token", "AzureOpenAI", json.dumps(_azure(auth_mode="meid_token")), "{}"),
        ("mine", "Custom", "{}", json.dumps(custom)),
        ("no name", "Serp", json.dumps({"api_key": _sealed("s-secret")}), "{}"),
    ]
    with closing(sqlite3.connect(tmp_path / "pf.sqlite")) as file:
        file.execute(
            'CREATE TABLE connection ("connectionName" TEXT NOT NULL, "connectionType" TEXT NOT NULL, '
            'configs TEXT NOT NULL, "customConfigs" TEXT NOT NULL, "createdDate" TEXT NOT NULL, '
            '"lastModifiedDate" TEXT NOT NULL, "expiryTime" TEXT, PRIMARY KEY ("connectionName"))'
        )
        file.executemany("INSERT INTO connection VALUES (?, ?, ?, ?, '', '', NULL)", rows)
        file.commit()
    (tmp_path / "key").write_bytes(KEY)
    return tmp_path


def test_connections_come_with_their_secrets_and_what_cannot_is_said(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _imported("--from", store, "--key-file", store / "key") == 3
    out, err = capsys.readouterr()
    assert "'no name' is no name for a connection" in out
    assert "secret" not in out + err
    kept = provider(settings())
    assert kept.in_files() == ["az", "by_token", "mine"]
    assert (kept.get("az").api_key, kept.get("az").api_base) == ("az-secret", "https://x")
    assert kept.get("by_token").auth_mode == "meid_token"
    mine: Any = kept.get("mine")
    assert (mine.secrets, mine.configs) == ({"key": "custom-secret"}, {"base": "b"})
    assert (mine.custom_type, mine.custom_module) == ("Mine", "my.tools")


def test_what_is_here_stays_unless_it_shall_be_replaced(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = settings().connections
    folder.mkdir()
    (folder / "az.yaml").write_text("type: open_ai\napi_key: mine\n")
    assert _imported("--from", store, "--key-file", store / "key", "-o", "json") == 3
    results = {r["name"]: r["result"] for r in json.loads(capsys.readouterr().out)}
    assert "--overwrite replaces it" in results["az"] and results["mine"] == "created"
    assert _imported("--from", store, "--key-file", store / "key", "--overwrite") == 3
    assert provider(settings()).get("az").TYPE == "azure_open_ai"


def test_another_python_reads_the_keyring(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "keyring.py").write_text(f"def get_password(*asked):\n    return {KEY.decode()!r}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert _imported("--from", store, "--python", sys.executable) == 3
    assert provider(settings()).get("az").api_key == "az-secret"
    assert _imported("--from", store, "--python", tmp_path / "no-python") == 2
    assert "cannot be run" in capsys.readouterr().err


def test_without_the_key_it_says_how_to_export(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)  # not installed
    assert _imported("--from", store) == 2
    assert "pf connection import --script" in capsys.readouterr().err
    assert provider(settings()).in_files() == []


def test_a_key_that_is_not_the_one_changes_nothing(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (store / "key").write_bytes(Fernet.generate_key())
    assert _imported("--from", store, "--key-file", store / "key") == 2
    assert "does not open the secrets of the connection 'az'" in capsys.readouterr().err
    assert provider(settings()).in_files() == []


def test_what_the_script_exports_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _imported("--script") == 0
    compile(capsys.readouterr().out, "export.py", "exec")
    exported = [
        {"name": "o", "type": "OpenAI", "configs": {"base_url": None}, "secrets": {"api_key": "k-123"}},
        {"name": "c", "type": "Custom", "configs": {}, "secrets": {"a": "b"}},
    ]
    file = tmp_path / "connections.json"
    file.write_text(json.dumps(exported))
    assert _imported("--file", file) == 0
    kept = provider(settings())
    assert (kept.get("o").api_key, dict(kept.get("c"))) == ("k-123", {"a": "b"})
    file.write_text("{}]")
    assert _imported("--file", file) == 2


def test_a_folder_without_a_store_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _imported("--from", tmp_path) == 2
    assert f"there is no {tmp_path / 'pf.sqlite'}" in capsys.readouterr().err
