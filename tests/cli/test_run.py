"""`pf run`, as a person or a pipeline uses it: processes, exit codes, what is on stdout."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.runs.flows import read_rows, score_flow, shout_flow, write_rows
from tests.waiting import until

ENDS_S = 60


@pytest.fixture(autouse=True)
def no_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PF_TRACKING", "off")


def _start(folder: Path, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "promptflow_lite", "run", *args],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )


class _Ended:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        try:
            self.out, self.err = process.communicate(timeout=ENDS_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        self.code = process.returncode

    def json(self) -> Any:
        return json.loads(self.out)


def _pf(folder: Path, *args: str) -> _Ended:
    return _Ended(_start(folder, *args))


def _data(folder: Path, texts: list[str]) -> str:
    return write_rows(folder / "data.jsonl", [{"text": text} for text in texts]).name


def _journal(home: Path, name: str) -> Path:
    return home / "runs" / name / "lines.jsonl"


def _wait_for_lines(path: Path, count: int) -> None:
    until(lambda: path.exists() and path.read_bytes().count(b"\n") >= count, "the run does not get on")


def test_from_rows_to_scores(tmp_path: Path, home: Path) -> None:
    shout_flow(tmp_path / "shout")
    score_flow(tmp_path / "score")
    done = _pf(
        tmp_path, "create", "--flow", "shout", "--data", _data(tmp_path, ["a", "b", "bad"]), "--name", "base"
    )
    assert done.code == 3, done.err
    assert "3: 2 completed, 1 failed" in done.out
    assert "1 line failed: " in done.out

    mapping = ["answer=${run.outputs.shout}", "truth=${data.text}"]
    scored = _pf(
        tmp_path,
        *(
            "create",
            "--flow",
            "score",
            "--run",
            "base",
            "--column-mapping",
            *mapping,
            "--name",
            "s",
            "-o",
            "json",
        ),
    )
    assert scored.code == 0, scored.err
    assert scored.json()["lines"] == {"total": 3, "completed": 2, "failed": 0, "skipped": 1}
    assert scored.json()["metrics"]["right"] == 1

    assert [run["name"] for run in _pf(tmp_path, "list", "--output", "json").json()] == ["s", "base"]
    assert _pf(tmp_path, "show", "base", "--output", "json").json()["status"] == "Completed"
    assert _pf(tmp_path, "show", "--name", "base").code == 0
    assert _pf(tmp_path, "show-metrics", "base", "--output", "json").json() == {"count": 2, "letters": 4}
    details = _pf(tmp_path, "show-details", "base", "--format", "jsonl")
    records = [json.loads(line) for line in details.out.splitlines()]
    assert [(r["line_number"], r["status"]) for r in records] == [
        (0, "Completed"),
        (1, "Completed"),
        (2, "Failed"),
    ]
    assert records[0]["outputs"] == {"shout": "AA"}
    assert "cannot shout bad" in records[2]["error"]["message"]
    failed = _pf(tmp_path, "show-details", "base", "--failed", "--output", "json").json()
    assert [record["line_number"] for record in failed] == [2]
    assert "Skipped" in _pf(tmp_path, "show-details", "s").out

    assert _pf(tmp_path, "delete", "s", "--yes").code == 0
    assert _pf(tmp_path, "show", "s").code == 2
    assert (home / "runs" / "base").is_dir()


def test_a_run_file_with_options_over_it(tmp_path: Path) -> None:
    shout_flow(tmp_path / "shout")
    _data(tmp_path, ["a", "b"])
    (tmp_path / "run.yaml").write_text(
        "flow: shout\ndata: data.jsonl\nname: of_file\ncolumn_mapping: {text: '${data.text}', times: 1}\n"
    )
    done = _pf(
        tmp_path,
        *("create", "--file", "run.yaml", "--column-mapping", "times=3", "--name", "of_option"),
        *("--set", "tags.team=a", "display_name=x-${run}", "--output", "json", "--limit", "1"),
    )
    assert done.code == 0, done.err
    run = done.json()
    assert (run["name"], run["tags"], run["display_name"]) == ("of_option", {"team": "a"}, "x-of_option")
    assert read_rows(Path(run["results"]["outputs"])) == [{"line_number": 0, "shout": "AAA"}]


@pytest.mark.parametrize(
    ("threshold", "code", "status"),
    [(None, 3, "Completed"), ("-1", 0, "Completed"), ("1", 0, "Completed"), ("0", 1, "Failed")],
)
def test_the_exit_code_says_what_became_of_failed_lines(
    tmp_path: Path, threshold: str | None, code: int, status: str
) -> None:
    shout_flow(tmp_path / "shout")
    option = ["--error-threshold", threshold] if threshold else []
    data = _data(tmp_path, ["bad", "a"])
    done = _pf(tmp_path, "create", "--flow", "shout", "--data", data, "--output", "json", *option)
    assert (done.code, done.json()["status"]) == (code, status), done.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["create", "--data", "data.jsonl"], "--flow PATH"),
        (["create", "--flow", "shuot", "--data", "data.jsonl"], "did you mean 'shout'?"),
        (["create", "--flow", "shout"], "--data FILE"),
        (["create", "--flow", "shout", "--data", "dta.jsonl"], "no such file"),
        (["create", "--flow", "shout", "--data", "data.jsonl", "--name", "a/b"], "'a/b'"),
        (["create", "--flow", "shout", "--data", "data.jsonl", "--column-mapping", "text"], "name=value"),
        (
            ["create", "--flow", "shout", "--data", "data.jsonl", "--column-mapping", "text=${data.txt}"],
            "did you mean 'text'?",
        ),
        (["create", "--flow", "shout", "--data", "data.jsonl", "--set", "colum=1"], "--set"),
        (["create", "--flow", "shout", "--run", "none"], "none"),
        (["create", "--flow", "evaluator:nothing", "--data", "data.jsonl"], "nothing"),
        (["create", "--file", "no.yaml"], "no.yaml"),
        (["show", "none"], "none"),
        (["show"], "which run"),
        (["cancel", "none"], "none"),
    ],
)
def test_wrong_use_is_exit_code_2_and_says_what_to_do(tmp_path: Path, args: list[str], said: str) -> None:
    shout_flow(tmp_path / "shout")
    _data(tmp_path, ["a"])
    done = _pf(tmp_path, *args)
    assert (done.code, done.out) == (2, ""), done.err
    assert said in done.err


def test_prints_of_tools_stay_out_of_the_result(tmp_path: Path) -> None:
    flow = shout_flow(tmp_path / "shout")
    source = (flow / "shout.py").read_text()
    (flow / "shout.py").write_text(
        "print('at import')\n" + source.replace("    await", "    print('in tool')\n    await")
    )
    data = _data(tmp_path, ["a"])
    done = _pf(tmp_path, "create", "--flow", "shout", "--data", data, "--output", "json")
    assert done.json()["status"] == "Completed"
    assert "in tool" in Path(done.json()["results"]["journal"]).read_text()


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_finishes_what_is_in_flight_and_says_how_to_go_on(
    tmp_path: Path, home: Path, sent: signal.Signals, code: int
) -> None:
    shout_flow(tmp_path / "slow", seconds=0.3)
    data = _data(tmp_path, [f"t{number}" for number in range(200)])
    process = _start(tmp_path, "create", "--flow", "slow", "--data", data, "--name", "a", "-c", "4")
    _wait_for_lines(_journal(home, "a"), 4)
    process.send_signal(sent)
    ended = _Ended(process)
    assert ended.code == code, ended.err
    assert "pf run resume a" in ended.err
    assert _pf(tmp_path, "show", "a", "-o", "json").json()["status"] == "Canceled"
    resumed = _pf(tmp_path, "resume", "a", "--concurrency", "200", "--output", "json")
    assert resumed.code == 0, resumed.err
    assert resumed.json()["lines"]["completed"] == 200
    assert sorted((tmp_path / "calls").read_text().split()) == sorted(f"t{number}" for number in range(200))


def test_a_second_signal_leaves_at_once(tmp_path: Path, home: Path) -> None:
    shout_flow(tmp_path / "slow", seconds=60)
    process = _start(
        tmp_path, "create", "--flow", "slow", "--data", _data(tmp_path, ["a", "b"]), "--name", "a"
    )
    until((tmp_path / "calls").exists)
    assert process.stderr is not None
    process.send_signal(signal.SIGINT)
    next(line for line in process.stderr if "Ctrl-C again leaves at once" in line)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    ended = _Ended(process)
    assert ended.code == 130, ended.err
    assert time.monotonic() - began < 8  # of ten that lines in flight would get
    assert _pf(tmp_path, "show", "a", "-o", "json").json()["status"] == "Canceled"


def test_a_killed_run_is_interrupted_and_goes_on(tmp_path: Path, home: Path) -> None:
    shout_flow(tmp_path / "slow", seconds=0.3)
    data = _data(tmp_path, [f"t{number}" for number in range(200)])
    process = _start(tmp_path, "create", "--flow", "slow", "--data", data, "--name", "a", "-c", "3")
    _wait_for_lines(_journal(home, "a"), 3)
    running = _pf(tmp_path, "show", "a", "-o", "json").json()
    assert running["status"] == "Running"
    busy = _pf(tmp_path, "resume", "a")
    assert busy.code == 2
    assert str(process.pid) in busy.err
    process.kill()
    _Ended(process)
    shown = _pf(tmp_path, "list", "--output", "json").json()[0]
    assert (shown["status"], shown["error"]["code"]) == ("Failed", "interrupted")
    with _journal(home, "a").open("ab") as journal:
        journal.write(b'{"line_number": 5, "sta')
    resumed = _pf(tmp_path, "resume", "a", "--concurrency", "200", "--output", "json")
    assert (resumed.code, resumed.json()["lines"]["completed"]) == (0, 200), resumed.err
    assert "dropped" in resumed.err
    outputs = read_rows(home / "runs" / "a" / "outputs.jsonl")
    assert [row["line_number"] for row in outputs] == list(range(200))
    assert len((tmp_path / "calls").read_text().split()) <= 200 + 3


def test_a_run_is_watched_and_canceled_from_another_terminal(tmp_path: Path, home: Path) -> None:
    shout_flow(tmp_path / "slow", seconds=0.3)
    data = _data(tmp_path, [f"t{number}" for number in range(200)])
    process = _start(tmp_path, "create", "--flow", "slow", "--data", data, "--name", "a", "-c", "2")
    _wait_for_lines(_journal(home, "a"), 2)
    watching = _start(tmp_path, "stream", "a")
    canceled = _pf(tmp_path, "cancel", "a", "--output", "json")
    assert (canceled.code, canceled.json()["status"]) == (0, "Canceled"), canceled.err
    assert _Ended(process).code == 143
    assert "Canceled" in _Ended(watching).out
    again = _pf(tmp_path, "cancel", "a")
    assert again.code == 2
    assert "not running" in again.err


def test_programs_that_watch_are_told_of_which_run_and_how_far_it_came(tmp_path: Path, home: Path) -> None:
    shout_flow(tmp_path / "slow", seconds=0.3)
    data = _data(tmp_path, [f"t{number}" for number in range(30)])
    process = _start(tmp_path, "create", "--flow", "slow", "--data", data, "--name", "a", "-c", "2")
    _wait_for_lines(_journal(home, "a"), 2)
    watching = _Ended(_start(tmp_path, "stream", "a", "--lines", "--log-format", "json"))
    assert (_Ended(process).code, watching.code) == (0, 0)
    events = [json.loads(line) for line in watching.err.splitlines()]
    assert {event["run"] for event in events} == {"a"}
    assert sorted(e["line_number"] for e in events if e["event"] == "line") == list(range(30))
    assert [e["done"] for e in events if e["event"] == "progress"][-1] == 30


def test_who_watches_a_run_that_is_killed_is_told(tmp_path: Path, home: Path) -> None:
    shout_flow(tmp_path / "slow", seconds=0.3)
    data = _data(tmp_path, [f"t{number}" for number in range(200)])
    process = _start(tmp_path, "create", "--flow", "slow", "--data", data, "--name", "a", "-c", "2")
    _wait_for_lines(_journal(home, "a"), 2)
    watching = _start(tmp_path, "stream", "a", "--lines")
    assert watching.stderr is not None
    while "line 0 Completed" not in (said := watching.stderr.readline()):
        assert said, "the watching ended"
    process.kill()
    _Ended(process)
    ended = _Ended(watching)
    assert ended.code == 1
    assert "interrupted" in ended.out
    assert "pf run resume a" in ended.out


def test_ctrl_c_ends_the_watching_and_not_the_run(tmp_path: Path, home: Path) -> None:
    shout_flow(tmp_path / "slow", seconds=0.3)
    data = _data(tmp_path, [f"t{number}" for number in range(200)])
    process = _start(tmp_path, "create", "--flow", "slow", "--data", data, "--name", "a", "-c", "2")
    _wait_for_lines(_journal(home, "a"), 2)
    watching = _start(tmp_path, "stream", "a", "--lines")
    assert watching.stderr is not None
    while "line 0 Completed" not in (said := watching.stderr.readline()):
        assert said, "the watching ended"
    watching.send_signal(signal.SIGINT)
    stopped = _Ended(watching)
    assert stopped.code == 130
    assert "a, which goes on" in stopped.err
    _wait_for_lines(_journal(home, "a"), _journal(home, "a").read_bytes().count(b"\n") + 2)
    process.kill()
    _Ended(process)


def test_what_happens_is_told_as_json(tmp_path: Path) -> None:
    shout_flow(tmp_path / "shout")
    data = _data(tmp_path, ["a", "bad", "c", "d"])
    args = ("--limit", "2", "--repeats", "2", "--stream", "--log-format", "json", "--name", "a")
    done = _pf(tmp_path, "create", "--flow", "shout", "--data", data, *args)
    assert done.code == 3
    told = [json.loads(line) for line in done.err.splitlines()]
    assert [record["event"] for record in told] == ["started", *["line"] * 4, "progress", "ended"]
    assert {(r["line_number"], r["repeat"], r["status"]) for r in told if r["event"] == "line"} == {
        (0, 0, "Completed"),
        (0, 1, "Completed"),
        (1, 0, "Failed"),
        (1, 1, "Failed"),
    }
    assert told[-1]["lines"] == {"total": 4, "completed": 2, "failed": 2, "skipped": 0}
    watched = _pf(tmp_path, "stream", "a", "--log-format", "json")
    assert json.loads(watched.err.splitlines()[-1])["event"] == "ended"


def test_options_of_the_choice_are_kept_and_taken_over(tmp_path: Path) -> None:
    shout_flow(tmp_path / "shout")
    (tmp_path / "run.yaml").write_text(
        "flow: shout\ndata: data.jsonl\nsample: 0.5\nshuffle_seed: 3\nrepeats: 2\n"
        "skip_bad_lines: true\nbatch_timeout: 60\n"
    )
    (tmp_path / "data.jsonl").write_text("".join(f'{{"text": "t{n}"}}\n' for n in range(8)) + "{\n")
    first = _pf(tmp_path, "create", "--file", "run.yaml", "--name", "a", "--output", "json").json()
    kept = {"sample": 0.5, "shuffle_seed": 3, "repeats": 2, "skip_bad_lines": True, "batch_timeout_s": 60.0}
    assert {key: first[key] for key in kept} == kept
    assert first["lines"] == {"total": 10, "completed": 8, "failed": 0, "skipped": 2}
    again = _pf(tmp_path, "create", "--resume-from", "a", "--name", "b", "-o", "json").json()
    assert again["lines"] == first["lines"]
    assert len((tmp_path / "calls").read_text().split()) == 8


def test_a_run_that_resumes_from_another_asks_for_the_same(tmp_path: Path) -> None:
    shout_flow(tmp_path / "shout")
    data = _data(tmp_path, ["a", "bad"])
    _pf(tmp_path, "create", "--flow", "shout", "--data", data, "--name", "a")
    again = _pf(tmp_path, "create", "--resume-from", "a", "--name", "b", "--output", "json")
    assert (again.code, again.json()["lines"]["completed"]) == (3, 1), again.err
    assert (tmp_path / "calls").read_text().split().count("a") == 1
    assert _pf(tmp_path, "create", "--resume-from", "a", "--data", data).code == 2


def test_a_pipe_gets_no_progress_bar(tmp_path: Path) -> None:
    shout_flow(tmp_path / "shout")
    done = _pf(tmp_path, "create", "--flow", "shout", "--data", _data(tmp_path, ["a"]), "--stream")
    assert "\r" not in done.err + done.out
    assert "line 0 Completed" in done.err


def test_a_home_that_cannot_be_written_is_said(tmp_path: Path, home: Path) -> None:
    if os.geteuid() == 0:
        (home / "runs").write_text("not a folder")
    else:
        home.chmod(0o500)
    shout_flow(tmp_path / "shout")
    done = _pf(tmp_path, "create", "--flow", "shout", "--data", _data(tmp_path, ["a"]))
    home.chmod(0o700)
    assert done.code == 1
    assert "Traceback" not in done.err
    assert str(home / "runs") in done.err


def test_metrics_of_several_runs_stand_side_by_side(tmp_path: Path) -> None:
    shout_flow(tmp_path / "shout")
    for name, texts in (("one", ["a"]), ("three", ["a", "bc", "d"])):
        data = write_rows(tmp_path / f"{name}.jsonl", [{"text": text} for text in texts]).name
        assert _pf(tmp_path, "create", "--flow", "shout", "--data", data, "--name", name).code == 0

    both = _pf(tmp_path, "show-metrics", "one", "three", "--metric", "count")
    assert [line.split() for line in both.out.splitlines()] == [
        ["metric", "one", "three"],
        ["count", "1", "3"],
    ]
    as_json = _pf(tmp_path, "show-metrics", "one", "three", "--output", "json").json()
    assert [as_json[name]["count"] for name in ("one", "three")] == [1, 3]

    wrong = _pf(tmp_path, "show-metrics", "one", "--metric", "coumt")
    assert (wrong.code, "did you mean 'count'?" in wrong.err) == (2, True)
