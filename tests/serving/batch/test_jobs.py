"""Jobs of a batch endpoint: asked for in every form, followed, ended, gone on with, fetched."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.store import JOURNAL
from promptflow_lite.settings import settings
from tests.flows_of import ECHO, write
from tests.serving.batch.desk import BatchDesk, by_path, rows
from tests.serving.endpoints.desk import run
from tests.waiting import until

_SLOW = """\
import time
from pathlib import Path
from promptflow_lite import tool


@tool
def echo(text: str, times: int) -> str:
    with Path(text.partition(" ")[2]).open("a") as calls:
        calls.write(text + "\\n")
    time.sleep(0.15)
    return text
"""
_ROWS = 24
"""Two at once, in 1.8 s."""
_COUNTING = """\
inputs:
  text: {type: string}
outputs:
  text: {type: string, reference: "${inputs.text}"}
nodes:
- name: count
  type: python
  aggregation: true
  source: {type: code, path: count.py}
  inputs: {texts: "${inputs.text}"}
"""
_COUNT = """\
from promptflow_lite import log_metric, tool


@tool
def count(texts: list) -> int:
    log_metric("rows", len(texts))
    return len(texts)
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BatchDesk]:
    home = tmp_path_factory.mktemp("batch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PF_HOME", str(home / "home"))
        settings.cache_clear()
        (home / "incoming").mkdir()
        with BatchDesk(home, "data_folders: [incoming]\n") as served:
            served.deploy("green", write(home / "count", dag=_COUNTING, count__py=_COUNT))
            run("batch-endpoint", "update", "--name", "my-endpoint", "--defaults", "blue")
            yield served
    settings.cache_clear()


@pytest.fixture(autouse=True)
def _same_home(desk: BatchDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PF_HOME", str(desk.folder / "home"))
    settings.cache_clear()


def test_rows_that_are_sent_come_back_in_their_order_with_their_ids(desk: BatchDesk) -> None:
    name = desk.ask_for(rows("a", "bad", "=cmd()", "d, e"))
    job = desk.over(name)
    assert job["status"] == "Completed"
    assert job["lines"] == {"total": 4, "completed": 3, "failed": 1, "skipped": 0}
    assert (job["progress"], job["failures"]) == (1.0, {"node-error": 1})
    assert job["errors"] == [{"line_number": 1, "code": "node-error", "node": "echo"}]
    assert list(csv.reader(io.StringIO(desk.output(name)))) == [
        ["line_number", "id", "text", "error"],
        ["0", "r0", "a", ""],
        ["1", "r1", "", "node-error"],
        ["2", "r2", "'=cmd()", ""],
        ["3", "r3", "d, e", ""],
    ]


def test_a_form_is_taken_as_curl_sends_it(desk: BatchDesk) -> None:
    import subprocess

    file = desk.folder / "some rows.csv"
    file.write_text("id,text\nx,one\ny,two\n")
    command = ["curl", "-s", "-H", f"authorization: Bearer {desk.key}", "-F", f"data=@{file}"]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{desk.port}/jobs"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    job = json.loads(done.stdout)
    assert job["properties"]["data"] == "some rows.csv"
    assert desk.over(job["name"])["lines"]["completed"] == 2
    assert desk.output(job["name"]).splitlines()[1:] == ["0,x,one,", "1,y,two,"]


def test_a_path_in_the_endpoints_folders_is_read_with_literals_for_all_rows(desk: BatchDesk) -> None:
    (desk.folder / "incoming" / "part").mkdir(exist_ok=True)
    (desk.folder / "incoming" / "part" / "1.jsonl").write_bytes(rows("a"))
    (desk.folder / "incoming" / "part" / "2.jsonl").write_bytes(rows("b", "c"))
    whole = f"file://{desk.folder}/incoming/part"
    for uri in ("part", whole):
        name = desk.ask_for(by_path(uri, "UriFolder", times=2))
        assert desk.over(name)["lines"]["completed"] == 3
        assert [line.split(",")[2] for line in desk.output(name).splitlines()[1:]] == ["aa", "bb", "cc"]


def test_another_deployment_is_asked_by_header(desk: BatchDesk) -> None:
    name = desk.ask_for(rows("a", "b"), azureml_model_deployment="green")
    job = desk.over(name)
    assert (job["deployment"], job["metrics"]) == ("green", {"rows": 2})


def test_bad_data_fails_the_job_with_the_rows_place_and_no_path_of_ours(desk: BatchDesk) -> None:
    name = desk.ask_for(b'{"text": "a"}\n{"text": \n')
    job = desk.over(name)
    assert (job["status"], job["error"]["code"]) == ("Failed", "bad-data")
    assert job["error"]["message"].startswith("data.jsonl:2: not JSON")
    assert str(desk.folder) not in json.dumps(job)
    assert desk.call("GET", f"/jobs/{name}/output")[0].status == 404
    missing = desk.over(desk.ask_for(b'{"words": "a"}\n'))
    assert missing["error"]["code"] == "bad-column-mapping"
    assert "words" in missing["error"]["message"]
    assert str(desk.folder) not in json.dumps(missing)


def test_jobs_are_ordinary_runs(desk: BatchDesk) -> None:
    name = desk.ask_for(rows("a"))
    desk.over(name)
    found = json.loads(run("run", "show", name, "--output", "json"))
    assert (found["status"], found["lines"]["completed"]) == ("Completed", 1)
    assert Path(found["flow"]).name == "echo"  # by which runs are listed
    assert found["properties"] == {"batch_endpoint": "my-endpoint", "batch_deployment": "blue"}


def test_commands_ask_follow_and_fetch(desk: BatchDesk, tmp_path: Path) -> None:
    data = tmp_path / "mine.jsonl"
    data.write_bytes(rows("a", "bad"))
    out = run("batch-endpoint", "invoke", "-n", "my-endpoint", "--input", str(data), "--job-name", "mine")
    assert out == "mine\n"
    assert "node-error: 1" in run("job", "stream", "--name", "mine", code=3) + run(
        "job", "show", "-n", "mine"
    )
    listed = json.loads(run("batch-deployment", "list-jobs", "-n", "blue", "-e", "my-endpoint", "-o", "json"))
    assert "mine" in [job["name"] for job in listed]
    files = run("job", "download", "-n", "mine", "-p", str(tmp_path / "out")).split()
    assert [Path(file).name for file in files] == ["predictions.csv", "summary.json"]
    assert json.loads(Path(files[1]).read_text())["lines"]["failed"] == 1
    again = ("batch-endpoint", "invoke", "-n", "my-endpoint", "--input", str(data), "--job-name", "mine")
    assert "a job named 'mine' exists" in run(*again, code=2)
    assert "has ended: it is Completed" in run("job", "cancel", "-n", "mine", code=2)


def test_settings_of_one_job_go_over_the_deployments(desk: BatchDesk, tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_bytes(rows("a", "bad"))
    ask = ("batch-endpoint", "invoke", "-n", "my-endpoint", "--input", str(data), "--job-name")
    run(*ask, "as-lines", "--set", "output_file_name=rows.jsonl", "id_column=text", "--stream", code=3)
    (file,) = (p for p in (desk.folder / "home").rglob("as-lines/output/rows.jsonl"))
    assert [json.loads(line) for line in file.read_text().splitlines()] == [
        {"line_number": 0, "id": "a", "text": "a"},
        {"line_number": 1, "id": "bad", "error": "node-error"},
    ]
    run(*ask, "summed", "--set", "output_action=summary_only", "--stream", code=3)
    assert json.loads(desk.output("summed"))["failures"] == {"node-error": 1}


def _slow(desk: BatchDesk, tmp_path: Path) -> tuple[Path, Path, Path]:
    flow = write(tmp_path / "slow", dag=ECHO, echo__py=_SLOW)
    calls, data = tmp_path / "calls", tmp_path / "rows.jsonl"
    data.write_bytes(rows(*(f"{n} {calls}" for n in range(_ROWS))))
    return flow, calls, data


def _pids(desk: BatchDesk, name: str) -> int:
    lock = desk.folder / "home/batch-endpoints/my-endpoint/jobs" / name / "lock"
    return int(lock.read_text())


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_job_is_cancelled_and_keeps_what_is_done(desk: BatchDesk, tmp_path: Path) -> None:
    flow, _, data = _slow(desk, tmp_path)
    desk.deploy("slow", flow, mini_batch_size=2)
    name = desk.ask_for(data.read_bytes(), azureml_model_deployment="slow")
    waits = desk.ask_for(rows("a"))
    desk.until(name, "Running")
    assert desk.job(waits)["status"] == "Queued"
    assert (
        json.loads(desk.call("POST", f"/jobs/{waits}/cancel", b"")[1])["properties"]["status"]
        == "CancelRequested"
    )
    _await_rows(desk, name, 1)
    assert desk.call("POST", f"/jobs/{name}/cancel", b"")[0].status == 202
    job = desk.over(name)
    assert job["status"] == "Canceled"
    assert 0 < job["lines"]["completed"] < _ROWS
    assert len(desk.output(name).splitlines()) == 1 + job["lines"]["completed"]
    assert desk.over(waits)["status"] == "Canceled"


def _ended_with(desk: BatchDesk, name: str, how: signal.Signals) -> int:
    """Stop the server as told, see that the job ends with it, and is to be gone on with; the rows done."""
    pid = _pids(desk, name)
    desk.stop(how)
    until(lambda: not _is_alive(pid))
    assert json.loads(run("job", "show", "-n", name, "-o", "json"))["properties"]["status"] == "Queued"
    return len(Records.read(desk.folder / "home/runs" / name / JOURNAL).entries)


def test_a_job_goes_on_where_it_was_however_its_server_ended(desk: BatchDesk, tmp_path: Path) -> None:
    flow, calls, data = _slow(desk, tmp_path)
    desk.deploy("slow", flow, mini_batch_size=2)
    name = desk.ask_for(data.read_bytes(), azureml_model_deployment="slow")
    try:
        _await_rows(desk, name, 3)
        done = _ended_with(desk, name, signal.SIGKILL)
        assert 3 <= done < _ROWS
        desk.start()
        _await_rows(desk, name, done + 3)
        assert done + 3 <= _ended_with(desk, name, signal.SIGTERM) < _ROWS
        assert run("job", "resume", "--name", name) == ""  # nobody serves: it has a process of its own
        ended = json.loads(run("job", "stream", "--name", name, "--output", "json"))
        assert ended["properties"]["status"] == "Completed"
        assert "has ended" in run("job", "resume", "--name", name, code=2)
    finally:
        desk.start()
    job = desk.job(name)
    assert (job["status"], job["lines"]["completed"]) == ("Completed", _ROWS)
    numbers = [line.split(",")[0] for line in desk.output(name).splitlines()[1:]]
    assert numbers == [str(n) for n in range(_ROWS)]
    again = [text for text, count in Counter(calls.read_text().splitlines()).items() if count > 1]
    assert len(again) <= 2  # what the kill met in flight, and nothing that was done


def _await_rows(desk: BatchDesk, name: str, count: int) -> None:
    until(lambda: desk.job(name)["lines"]["completed"] >= count)


def test_without_a_server_a_command_runs_the_job_itself(desk: BatchDesk, tmp_path: Path) -> None:
    desk.stop()
    try:
        data = tmp_path / "rows.jsonl"
        data.write_bytes(rows("a", "b"))
        ask = (
            "batch-endpoint",
            "invoke",
            "-n",
            "my-endpoint",
            "--input",
            str(data),
            "--stream",
            "-o",
            "json",
        )
        job = json.loads(run(*ask))
        assert job["properties"]["status"] == "Completed"
        assert Path(job["outputs"], "predictions.csv").read_text().splitlines()[1:] == ["0,r0,a,", "1,r1,b,"]
    finally:
        desk.start()


def test_failed_rows_are_run_again_and_a_threshold_ends_a_job(desk: BatchDesk, tmp_path: Path) -> None:
    second = """\
    from pathlib import Path
    from promptflow_lite import tool


    @tool
    def echo(text: str, times: int) -> str:
        seen = Path(text)
        if not seen.exists():
            seen.touch()
            raise ValueError("not yet")
        return "done"
    """
    flow = write(tmp_path / "second", dag=ECHO, echo__py=second)
    desk.deploy("second", flow, retry_settings={"max_retries": 2}, output_file_name="all.jsonl")
    name = desk.ask_for(rows(*(str(tmp_path / f"{n}") for n in range(3))), azureml_model_deployment="second")
    assert desk.over(name)["lines"] == {"total": 3, "completed": 3, "failed": 0, "skipped": 0}
    desk.deploy("strict", desk.folder / "echo", error_threshold=1, mini_batch_size=1)
    name = desk.ask_for(rows(*["bad"] * 20), azureml_model_deployment="strict")
    job = desk.over(name)
    assert (job["status"], job["error"]["code"]) == ("Failed", "error-threshold")
    assert job["lines"]["failed"] < 20


def test_code_that_ends_its_process_costs_a_row_and_not_the_job(desk: BatchDesk, tmp_path: Path) -> None:
    dying = """\
    import os
    from promptflow_lite import tool


    @tool
    def echo(text: str, times: int) -> str:
        if text == "die":
            os._exit(3)
        return text
    """
    desk.deploy("dying", write(tmp_path / "dying", dag=ECHO, echo__py=dying), mini_batch_size=1)
    job = desk.over(desk.ask_for(rows("a", "die", "b"), azureml_model_deployment="dying"))
    assert job["status"] == "Completed"
    assert job["lines"] == {"total": 3, "completed": 2, "failed": 1, "skipped": 0}


def test_more_jobs_than_may_wait_are_told_to_come_back(desk: BatchDesk, tmp_path: Path) -> None:
    flow, _, data = _slow(desk, tmp_path)
    desk.deploy("slow", flow, mini_batch_size=2)
    run("batch-endpoint", "update", "-n", "my-endpoint", "--set", "jobs.max_queued=1")
    names = [desk.ask_for(data.read_bytes(), azureml_model_deployment="slow") for _ in range(2)]
    response, text = desk.call("POST", "/jobs", rows("a"), {"content-type": "application/jsonl"})
    assert (response.status, json.loads(text)["error"]["code"]) == (429, "too-many-jobs")
    assert int(response.getheader("retry-after") or 0) > 0
    for name in reversed(names):
        desk.call("POST", f"/jobs/{name}/cancel", b"")
        desk.over(name)
    assert desk.over(desk.ask_for(rows("a")))["status"] == "Completed"
    run("batch-endpoint", "update", "-n", "my-endpoint", "--set", "jobs.max_queued=16")


def test_what_callers_have_sent_takes_no_more_than_it_may(desk: BatchDesk) -> None:
    jobs = desk.folder / "home/batch-endpoints/my-endpoint/jobs"
    kept = sum(file.stat().st_size for file in jobs.glob("*/data/*"))
    body, keep = rows("a"), ("batch-endpoint", "update", "-n", "my-endpoint", "--set")
    run(*keep, f"jobs.max_kept_bytes={kept + len(body)}")
    last = desk.ask_for(body)
    for sent in (body, iter([body])):  # its length told, and not
        response, text = desk.call("POST", "/jobs", sent, {"content-type": "application/jsonl"})
        assert (response.status, json.loads(text)["error"]["code"]) == (503, "no-room")
        assert int(response.getheader("retry-after") or 0) > 0
    (desk.folder / "incoming" / "own.jsonl").write_bytes(body)
    of_path = desk.ask_for(by_path("own.jsonl"))  # it lies where it lay
    assert [desk.over(name)["status"] for name in (last, of_path)] == ["Completed", "Completed"]
    run(*keep, f"jobs.max_kept_bytes={10 * 1024**3}")


def test_what_ended_long_ago_is_removed_with_its_run(desk: BatchDesk) -> None:
    name = desk.ask_for(rows("a"))
    desk.over(name)
    run("batch-endpoint", "update", "-n", "my-endpoint", "--set", "jobs.keep_days=0.000001")
    desk.stop()  # and an age of 0.09 s is reached
    desk.start()
    until(lambda: desk.call("GET", f"/jobs/{name}")[0].status == 404)
    run("batch-endpoint", "update", "-n", "my-endpoint", "--set", "jobs.keep_days=30")
    assert not (desk.folder / "home/runs" / name).exists()


def test_deployments_are_changed_shown_and_deleted(desk: BatchDesk, tmp_path: Path) -> None:
    at = ("--endpoint-name", "my-endpoint")
    run("batch-deployment", "update", "-n", "green", *at, "--set", "settings.mini_batch_size=3")
    shown: Any = json.loads(run("batch-deployment", "show", "-n", "green", *at, "-o", "json"))
    assert (shown["settings"]["mini_batch_size"], shown["is_default"]) == (3, False)
    assert "is the default" in run("batch-deployment", "delete", "-n", "blue", *at, "--yes", code=2)
    assert "has no deployment 'bleu'" in run("batch-deployment", "show", "-n", "bleu", *at, code=2)
    run("batch-deployment", "create", "-n", "more", *at, "--set", f"flow={desk.folder / 'echo'}")
    run("batch-deployment", "delete", "-n", "more", *at, "--yes")
    listed = json.loads(run("batch-deployment", "list", *at, "-o", "json"))
    assert "more" not in [deployment["name"] for deployment in listed]
    assert "is served by the process" in run("batch-endpoint", "delete", "-n", "my-endpoint", "--yes", code=2)
