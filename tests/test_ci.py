"""The workflow of docs/ci.md, command by command: pull requests in a repository, gated as GitHub would."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT
from tests.model_server import ModelServer

PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
WORKFLOW = re.search(r"```yaml title=\"\.github/workflows/intent\.yml\"\n(.*?)```", PAGE, re.DOTALL)
GATE = re.search(r"```yaml title=\"flows/intent/gate\.yaml\"\n(.*?)```", PAGE, re.DOTALL)
NOT_HERE = {"Install"}
"""Steps that need a network."""

FLOW = """\
inputs:
  message: {type: string}
outputs:
  intent: {type: string, reference: "${sort.output}"}
nodes:
- name: sort
  type: llm
  source: {type: code, path: sort.jinja2}
  inputs: {model: m, message: "${inputs.message}", max_tokens: 5}
"""
PROMPT = "system:\nSort the message: order or refund.\nuser:\n{{ message }}\n"
LINES = 60


class Job(NamedTuple):
    """What came of a job."""

    code: int
    """Of the first step that failed."""
    step: str | None
    said: str
    summary: str
    gate: ElementTree.Element


def steps() -> list[dict[str, Any]]:
    assert WORKFLOW
    job: dict[str, Any] = YAML(typ="safe").load(WORKFLOW[1])["jobs"]["gate"]
    return [step for step in job["steps"] if "run" in step]


def answered(body: Any) -> str:
    """Right, but for what the system prompt asks to get wrong."""
    system, user = (message["content"] for message in body["messages"])
    number = int(re.search(r"\d+", user)[0])  # type: ignore[index]  # every message has one
    wrong = re.search(r"Get (\d+) wrong", system)
    right, other = ("order", "refund") if "parcel" in user else ("refund", "order")
    return other if wrong and number < int(wrong[1]) else right


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(answered) as found:
        yield found


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a flow, its data and the gate of the page; `main` is what was."""
    assert GATE
    folder = tmp_path / "repository"
    flow = folder / "flows" / "intent"
    flow.mkdir(parents=True)
    (flow / "flow.dag.yaml").write_text(FLOW)
    (flow / "sort.jinja2").write_text(PROMPT)
    rows = [
        {
            "message": f"{'My parcel' if n % 2 else 'My money'}, number {n}.",
            "intent": "order" if n % 2 else "refund",
        }
        for n in range(LINES)
    ]
    (flow / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (flow / "gate.yaml").write_text(GATE[1])
    (folder / ".gitignore").write_text(".pf/\n")
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "The flow as it was")
    return folder


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
    asked = [shutil.which("git") or "git", *identity, *words]
    return subprocess.run(asked, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, subject: str) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", subject)


def run_job(folder: Path, server: ModelServer, *, unsure_is_fine: bool = False, only: str = "") -> Job:
    """The steps of the workflow, each with bash as a runner of GitHub has it; a failure ends it."""
    summary = folder.parent / "summary.md"
    summary.write_text("")
    environ = {
        "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder.parent),
        "BEFORE": git(folder, "rev-parse", "main"),
        "UNSURE_IS_FINE": str(unsure_is_fine).lower(),
        "PF_HOME": str(folder / ".pf"),
        "PF_CACHE": "on",
        "PF_TRACKING": "off",
        "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": str(summary),
        "OPENAI_API_KEY": "key",
        "OPENAI_BASE_URL": server.base_url,
    }
    code, failed, said = 0, None, ""
    for step in steps():
        if step["name"] in NOT_HERE or (only and step["name"] != only):
            continue
        bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = subprocess.run(
            bash, cwd=folder, env=environ, timeout=120, check=False, text=True, capture_output=True
        )
        said += done.stdout + done.stderr
        if done.returncode:
            code, failed = done.returncode, step["name"]
            break
    assert (folder / "report.html").is_file(), said
    gate = ElementTree.parse(folder / "gate.xml").getroot()
    return Job(code, failed, said, summary.read_text(), gate)


def change(folder: Path, text: str) -> None:
    """A pull request that changes the prompt."""
    git(folder, "switch", "-q", "-c", "change")
    prompt = folder / "flows" / "intent" / "sort.jinja2"
    prompt.write_text(prompt.read_text().replace("order or refund.", text))
    commit(folder, "Change the prompt")


def test_the_workflow_sets_what_its_steps_read() -> None:
    assert WORKFLOW
    job = YAML(typ="safe").load(WORKFLOW[1])["jobs"]["gate"]
    used = set(re.findall(r"\"?\$([A-Z_]+)\"?", "".join(step["run"] for step in steps())))
    assert used <= set(job["env"])
    assert [step["name"] for step in steps()] == [
        "Install",
        "Check the flow",
        "Fetch the flow as it was",
        "Run both",
        "Score both",
        "Compare",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="runners of the page are Linux")
def test_a_prompt_that_is_as_good_passes(repository: Path, server: ModelServer) -> None:
    change(repository, "order or refund. Answer in one word.")
    job = run_job(repository, server)
    assert (job.code, job.step) == (0, None), job.said
    assert [case.get("name") for case in job.gate.iter("testcase")] == [
        "grade no worse than the baseline by 0.1",
        "accuracy at least 0.5",
        "failure_rate at most 0.02",
    ]
    assert not [*job.gate.iter("failure"), *job.gate.iter("skipped")]
    assert "| grade |" in job.summary


@pytest.mark.skipif(sys.platform == "win32", reason="runners of the page are Linux")
def test_a_prompt_that_is_worse_fails_and_says_where(repository: Path, server: ModelServer) -> None:
    change(repository, "order or refund. Get 40 wrong.")
    job = run_job(repository, server)
    assert (job.code, job.step) == (1, "Compare"), job.said
    assert len(job.gate.findall(".//failure")) == 2  # worse than before, and below the least accuracy
    assert "worse" in job.summary


@pytest.mark.skipif(sys.platform == "win32", reason="runners of the page are Linux")
def test_what_the_data_cannot_tell_stays_open(repository: Path, server: ModelServer) -> None:
    change(repository, "order or refund. Get 4 wrong.")
    job = run_job(repository, server)
    assert (job.code, job.step) == (3, "Compare"), job.said
    assert job.gate.find(".//failure") is None
    assert job.gate.find(".//skipped") is not None
    assert "inconclusive" in job.summary
    labelled = run_job(repository, server, unsure_is_fine=True, only="Compare")
    assert labelled.code == 0
    assert "::warning title=Inconclusive::" in labelled.said
