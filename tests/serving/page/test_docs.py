"""What `/docs` says is true: its examples run as they stand."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptflow_lite.settings import settings
from tests.flows_of import echo, write
from tests.model_server import ModelServer
from tests.serving.served import Served, chat_flow


def _examples(served: Served) -> dict[str, str]:
    page = served.call("GET", "/docs")[1].decode()
    found = re.findall(r"<h2>([^<]+)</h2><pre><code>(.*?)</code></pre>", page, re.DOTALL)
    return {title: html.unescape(text) for title, text in found}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    samples = json.dumps({"text": 'it\'s <b>"bold"</b> $HOME `id` 日本', "times": 2})
    with Served(write(echo(tmp_path / "echo"), samples__json=samples)) as running:
        yield running


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_curl_example_runs(served: Served) -> None:
    done = subprocess.run(["bash", "-c", f"{_examples(served)['curl']} -s"], capture_output=True, timeout=60)
    assert json.loads(done.stdout) == {"text": 'it\'s <b>"bold"</b> $HOME `id` 日本' * 2}


def test_the_python_example_runs(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(_examples(served)["Python"], "page", "exec"), {})
    assert "日本" in capsys.readouterr().out


def test_the_example_for_openai_clients_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with ModelServer() as model:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-model")
        monkeypatch.setenv("OPENAI_BASE_URL", model.base_url)
        settings.cache_clear()
        with Served(chat_flow(tmp_path / "support")) as served:
            made = _examples(served)["OpenAI clients"] + "\nclient.close()\n"
            exec(compile(made, "page", "exec"), {})
    assert capsys.readouterr().out == "echo: Hello"


def test_what_a_flow_says_of_itself_is_text(tmp_path: Path) -> None:
    dag = """\
    display_name: <script>alert(1)</script>
    description: <img src=x onerror=alert(1)>
    inputs:
      text: {type: string, default: "</code><script>", description: "<b>"}
    outputs:
      text: {type: string, reference: "${inputs.text}"}
    nodes: []
    """
    with Served(write(tmp_path / "marked", dag=dag)) as served:
        response, text = served.call("GET", "/docs")
        assert b"<script" not in text
        assert b"<img" not in text
        assert "script" not in (response.getheader("content-security-policy") or "")
