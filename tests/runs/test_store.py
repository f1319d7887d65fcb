"""Run folders: names, states, locks, snapshots."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from promptflow_lite.engine.results import Status
from promptflow_lite.errors import InputError, RunNotFound, UserError
from promptflow_lite.flow.load import load_flow
from promptflow_lite.runs import lock, snapshot
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import RunStore, check_name, default_name
from tests.runs.flows import shout_flow, write_rows

NOW = datetime(2026, 1, 2, 3, 4, 5, 6)


@pytest.mark.parametrize(
    ("flow", "variant", "expected"),
    [
        ("flows/web", None, "web_variant_0_20260102_030405_000006"),
        ("flows/web/flow.dag.yaml", "${sum.v_1}", "web_v_1_20260102_030405_000006"),
        ("flows/chat-basic", None, "chat_basic_variant_0_20260102_030405_000006"),
        ("flows/chat-basic/flow.flex.yaml", None, "chat_basic_20260102_030405_000006"),
        ("flows/chat-basic/chat.prompty", None, "chat_basic_20260102_030405_000006"),
        ("flows/chat-basic/flow:chat", None, "chat_basic_20260102_030405_000006"),
        ("flows/要約フロー", None, "flow_variant_0_20260102_030405_000006"),
        ("flows/要約 summary!", None, "summary_variant_0_20260102_030405_000006"),
        ("flows/ｆｕｌｌ", "${節.変種}", "full_variant_0_20260102_030405_000006"),
        ("flows/" + "x" * 300, "${n." + "y" * 300 + "}", None),
    ],
)
def test_the_default_name_is_always_a_name(flow: str, variant: str | None, expected: str | None) -> None:
    name = default_name(Path(flow), variant, NOW)
    assert check_name(name) == (expected or name)


@pytest.mark.parametrize("name", ["", ".x", "-x", "a/b", "../a", "a b", "名前", "x" * 129, "a\n"])
def test_other_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        check_name(name)
    with pytest.raises((RunNotFound, UserError)):
        RunStore(tmp_path).folder(name)


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.create(Run(name="a", flow="f"))
    with pytest.raises(InputError) as caught:
        store.create(Run(name="a", flow="f"))
    assert caught.value.code == "run-exists"


def test_an_unknown_run_names_a_near_one(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.create(Run(name="base", flow="f"))
    with pytest.raises(RunNotFound, match="did you mean 'base'"):
        store.load("bsae")


def test_a_running_run_whose_process_is_gone_is_interrupted(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    folder = store.create(Run(name="a", flow="f", status=Status.Running, pid=1))
    with lock.hold(folder):
        assert store.load("a").status is Status.Running
    found = store.load("a")
    assert found.status is Status.Failed
    assert found.error is not None
    assert found.error["code"] == "interrupted"


def test_only_one_process_executes_a_run(tmp_path: Path) -> None:
    code = f"""
import pathlib, sys
from promptflow_lite.runs import lock
with lock.hold(pathlib.Path({str(tmp_path)!r})):
    print("held", flush=True)
    sys.stdin.read()
"""
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert lock.holder(tmp_path) == other.pid
        with pytest.raises(UserError, match=str(other.pid)) as caught, lock.hold(tmp_path):
            pass
        assert caught.value.code == "run-busy"
    finally:
        other.kill()
        other.communicate(timeout=60)
    assert lock.holder(tmp_path) is None


def test_runs_are_listed_newest_first_and_broken_ones_said(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    for name, created in (("a", 1.0), ("b", 3.0), ("c", 2.0)):
        store.create(Run(name=name, flow="f", created=created))
    (tmp_path / "c" / "run.json").write_text("{")
    runs, complaints = store.all()
    assert [run.name for run in runs] == ["b", "a"]
    assert len(complaints) == 1


def test_a_deleted_run_is_gone(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.create(Run(name="a", flow="f"))
    store.delete("a")
    assert store.names() == []
    assert list(tmp_path.iterdir()) == []


def test_a_snapshot_holds_the_flow_and_no_secret(tmp_path: Path) -> None:
    folder = shout_flow(tmp_path / "flow")
    (folder / ".env").write_text("KEY=1")
    (folder / ".promptflow").mkdir()
    (folder / ".promptflow" / "x.json").write_text("{}")
    (folder / "manual.index").write_bytes(b"")
    (folder / "azure.yaml").write_text("name: x\ntype: azure_open_ai\napi_key: sk-1\n")
    (folder / "big.bin").write_bytes(b"x" * (10 * 1024 * 1024 + 1))
    (folder / "sub").mkdir()
    (folder / "sub" / "examples.json").write_text("[]")
    notes = snapshot.take(load_flow(folder), tmp_path / "snapshot")
    kept = sorted(
        str(p.relative_to(tmp_path / "snapshot")) for p in (tmp_path / "snapshot").rglob("*") if p.is_file()
    )
    assert kept == ["count.py", "flow.dag.yaml", "shout.py", "sub/examples.json"]
    assert len(notes) == 2


def test_what_changed_since_the_snapshot_is_named(tmp_path: Path) -> None:
    folder = shout_flow(tmp_path / "flow")
    flow = load_flow(folder)
    snapshot.take(flow, tmp_path / "snapshot")
    before = snapshot.digest(flow)
    (folder / "README.md").write_text("for people")
    assert snapshot.digest(flow) == before
    assert snapshot.changed(flow, tmp_path / "snapshot") == []
    (folder / "shout.py").write_text("")
    (folder / "new.jinja2").write_text("")
    assert snapshot.digest(flow) != before
    assert snapshot.changed(flow, tmp_path / "snapshot") == ["new.jinja2", "shout.py"]


def test_a_system_without_posix_locks_is_told_so_before_anything_is_made(tmp_path: Path, home: Path) -> None:
    flow = shout_flow(tmp_path / "flow")
    data = write_rows(tmp_path / "data.jsonl", [{"text": "a"}])
    program = (
        "import sys\n"
        "sys.modules['fcntl'] = None\n"
        "from promptflow_lite.cli.main import main\n"
        "main(sys.argv[1:])\n"
    )
    asked = ["run", "create", "--flow", str(flow), "--data", str(data), "--no-tracking"]
    command = [sys.executable, "-c", program, *asked]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "POSIX" in ended.stderr
    assert RunStore(home / "runs").names() == []
