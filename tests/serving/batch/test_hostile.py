"""Strangers at a batch endpoint's door: always a 4xx that says little, and the others are served on."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from promptflow_lite.settings import settings
from tests.serving import strangers
from tests.serving.batch.desk import BatchDesk, by_path, rows
from tests.serving.endpoints.desk import run
from tests.serving.served import raw
from tests.waiting import until

JSON = {"content-type": "application/json"}
JSONL = {"content-type": "application/jsonl"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BatchDesk]:
    home = tmp_path_factory.mktemp("batch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PF_HOME", str(home / "home"))
        settings.cache_clear()
        (home / "incoming").mkdir()
        (home / "incoming" / "rows.jsonl").write_bytes(rows("inside"))
        (home / "outside.jsonl").write_bytes(rows("outside"))
        body = "data_folders: [incoming]\njobs: {max_upload_bytes: 20000, max_queued: 100}\n"
        with BatchDesk(home, body) as served:
            yield served
            assert served.over(served.ask_for(rows("still here")))["lines"]["completed"] == 1
            assert not any("Traceback" in line for line in served.said), served.said
    settings.cache_clear()


@pytest.fixture(autouse=True)
def _same_home(desk: BatchDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PF_HOME", str(desk.folder / "home"))
    settings.cache_clear()


def _refused(desk: BatchDesk, body: Any, headers: dict[str, str] | None = None) -> tuple[int, str]:
    response, text = desk.call("POST", "/jobs", body, headers)
    error = json.loads(text)["error"]
    assert str(desk.folder) not in text.decode()
    assert "Traceback" not in text.decode()
    return response.status, error["code"]


@pytest.mark.parametrize(
    "uri",
    [
        "../outside.jsonl",
        "../../../../../../etc/passwd",
        "/etc/passwd",
        "file:///etc/passwd",
        "file:///%2e%2e/%2e%2e/etc/passwd",
        "link.jsonl",
        "folder/../../outside.jsonl",
        "pipe",
        "absent.jsonl",
        "circle",
        ".hidden.jsonl",
        "~/.ssh/id_rsa",
        "x" * 4000,
    ],
)
def test_a_path_leads_nowhere_else(desk: BatchDesk, uri: str) -> None:
    incoming = desk.folder / "incoming"
    if not (incoming / "link.jsonl").is_symlink():
        (incoming / "link.jsonl").symlink_to(desk.folder / "outside.jsonl")
        (incoming / "circle").symlink_to(incoming / "circle")
        (incoming / ".hidden.jsonl").write_bytes(rows("hidden"))
        os.mkfifo(incoming / "pipe")
    assert _refused(desk, by_path(uri)) == (404, "data-not-found")


@pytest.mark.parametrize(
    "uri",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://example.com/rows.jsonl",
        "file://evil.example/rows.jsonl",
        "//evil.example/rows.jsonl",
        "azureml:data@latest",
        "ftp://x/y",
        "http://[bad",
    ],
)
def test_nothing_is_fetched(desk: BatchDesk, uri: str) -> None:
    status, code = _refused(desk, by_path(uri))
    assert status == 400
    assert code in ("not-a-path", "wrong-input")


def test_a_folder_with_a_link_out_of_it_is_refused(desk: BatchDesk) -> None:
    folder = desk.folder / "incoming" / "part"
    folder.mkdir()
    (folder / "rows.jsonl").write_bytes(rows("a"))
    (folder / "more.jsonl").symlink_to(desk.folder / "outside.jsonl")
    assert _refused(desk, by_path("part", "UriFolder")) == (404, "data-not-found")
    assert _refused(desk, by_path("part")) == (404, "data-not-found")


def test_a_file_that_becomes_a_link_while_its_job_waits_is_not_read(desk: BatchDesk) -> None:
    file = desk.folder / "incoming" / "changing.jsonl"
    file.write_bytes(rows("inside"))
    before = [desk.ask_for(rows("a")) for _ in range(2)]
    name = desk.ask_for(by_path("changing.jsonl"))
    file.unlink()
    file.symlink_to(desk.folder / "outside.jsonl")
    job = desk.over(name)
    assert (job["status"], job["error"]["code"]) == ("Failed", "data-not-found")
    assert job["error"]["message"].startswith("changing.jsonl: ")
    assert [desk.over(other)["status"] for other in before] == ["Completed", "Completed"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "bad-json"),
        (b"[]", 400, "wrong-input"),
        (b"{}", 400, "wrong-input"),
        (b"null", 400, "wrong-input"),
        (b"", 400, "bad-json"),
        (b"\xff\xfe", 400, "bad-json"),
        (b'{"properties":' + b"[" * 10_000 + b"]" * 10_000 + b"}", 400, "bad-json"),
        (b'{"properties":' + b"[" * 200 + b"]" * 200 + b"}", 400, "too-deep"),
        (
            b'{"properties": {"InputData": {"a": {"JobInputType": "MLTable", "Uri": "x"}}}}',
            400,
            "wrong-input",
        ),
        (b'{"properties": {"InputData": {"a": {"JobInputType": {}, "Uri": []}}}}', 400, "wrong-input"),
        (json.dumps(by_path("rows.jsonl", text="${data.id}")).encode(), 400, "bad-column-mapping"),
        (json.dumps(by_path("rows.jsonl", nothing="x")).encode(), 400, "unknown-input"),
        (json.dumps(by_path("rows.jsonl", "UriFolder")).encode(), 404, "data-not-found"),
        (json.dumps(by_path("a\0b")).encode(), 400, "wrong-input"),
        (json.dumps(by_path("file:///a%00b")).encode(), 400, "not-a-path"),
    ],
)
def test_wrong_bodies_are_refused(desk: BatchDesk, body: bytes, status: int, code: str) -> None:
    assert _refused(desk, body, JSON) == (status, code)


def _form(*parts: str, boundary: str = "b") -> tuple[bytes, dict[str, str]]:
    text = "".join(f"--{boundary}\r\n{part}\r\n" for part in parts) + f"--{boundary}--\r\n"
    return text.encode(), {"content-type": f"multipart/form-data; boundary={boundary}"}


_PART = 'Content-Disposition: form-data; name="data"; filename="{}"\r\n\r\n{}'


@pytest.mark.parametrize(
    ("parts", "status", "code"),
    [
        ((_PART.format("rows.exe", "x"),), 415, "unknown-kind"),
        ((_PART.format("rows.jsonl.gz", "x"),), 415, "unknown-kind"),
        ((_PART.format("rows.jsonl", ""),), 400, "no-data"),
        ((_PART.format("a.csv", "x"), _PART.format("b.csv", "x")), 400, "wrong-input"),
        (('Content-Disposition: form-data; name="other"\r\n\r\nno file',), 400, "no-data"),
        ((_PART.format("rows.jsonl", "x" * 20_001),), 413, "body-too-large"),
        (('Content-Disposition: form-data; name="other"\r\n\r\n' + "x" * 70_000,), 413, "body-too-large"),
        (("X: " + "y" * 20_000 + "\r\n\r\nx",), 400, "bad-form"),
        (("X: y\r\n" * 500 + "\r\nx",), 400, "bad-form"),
    ],
)
def test_wrong_forms_are_refused(desk: BatchDesk, parts: tuple[str, ...], status: int, code: str) -> None:
    body, headers = _form(*parts)
    assert _refused(desk, body, headers) == (status, code)


def test_a_form_that_is_none_is_refused(desk: BatchDesk) -> None:
    assert _refused(desk, b"x", {"content-type": "multipart/form-data"}) == (400, "bad-form")
    assert _refused(desk, b"x", {"content-type": "multipart/form-data; boundary=b"}) == (400, "bad-form")
    body, headers = _form(_PART.format("rows.jsonl", "{}"))
    assert _refused(desk, body[:-10], headers) == (400, "bad-form")
    long = {"content-type": "multipart/form-data; boundary=" + "b" * 5000}
    assert _refused(desk, body, long) == (400, "bad-form")


def test_a_files_name_is_no_path(desk: BatchDesk) -> None:
    body, headers = _form(_PART.format("../../../evil/rows.jsonl", '{"text": "a"}'))
    response, text = desk.call("POST", "/jobs", body, headers)
    job = json.loads(text)
    assert (response.status, job["properties"]["data"]) == (201, "rows.jsonl")
    assert not [path for path in desk.folder.rglob("*") if path.name == "evil"]
    assert desk.over(job["name"])["status"] == "Completed"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"])
def test_other_types_are_refused(desk: BatchDesk, kind: str) -> None:
    assert _refused(desk, b"x", {"content-type": kind}) == (415, "unknown-kind")


def test_large_bodies_are_refused_and_leave_nothing(desk: BatchDesk) -> None:
    assert _refused(desk, b"x" * 20_001, JSONL) == (413, "body-too-large")
    head = f"POST /jobs HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {desk.key}\r\n"
    kind = "content-type: application/jsonl\r\n"
    with socket.create_connection(("127.0.0.1", desk.port), timeout=60) as connection:
        connection.sendall(f"{head}{kind}content-length: 100000000\r\n\r\n".encode())
        assert b" 413 " in connection.recv(4096)
    with socket.create_connection(("127.0.0.1", desk.port), timeout=60) as connection:
        connection.sendall(f"{head}{kind}transfer-encoding: chunked\r\n\r\n".encode())
        for _ in range(8):
            connection.sendall(b"1000\r\n" + b" " * 0x1000 + b"\r\n")
        assert b" 413 " in connection.recv(4096)
    with socket.create_connection(("127.0.0.1", desk.port), timeout=60) as connection:
        connection.sendall(f"{head}{kind}content-length: 5000\r\n\r\n{{".encode())
    jobs = desk.folder / "home/batch-endpoints/my-endpoint/jobs"
    until(lambda: all((folder / "job.json").exists() for folder in jobs.iterdir()))


@pytest.mark.parametrize(
    "path",
    [
        "/jobs/../../etc/passwd",
        "/jobs/%2e%2e%2f%2e%2e/output",
        "/jobs/../endpoint.json",
        "/jobs/.",
        "/jobs/..",
        "/jobs/x/output",
        "/jobs/%00/output",
        "/jobs/-rf/cancel",
        "/jobs/x%0d%0ax-injected:%201",
        "/JOBS",
        "//jobs",
        "/jobs/",
        "/job.json",
    ],
)
def test_other_paths_lead_nowhere(desk: BatchDesk, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\napi-key: {desk.key}\r\nconnection: close\r\n\r\n"
    answer = raw(desk.port, request.encode())
    assert re.match(rb"HTTP/1.1 40[45] ", answer)
    assert b"x-injected" not in answer


@pytest.mark.parametrize("key", strangers.WRONG_KEYS)
@pytest.mark.parametrize("path", ["/jobs", "/jobs/x", "/jobs/x/output", "/swagger.json", "/metrics", "/docs"])
def test_without_a_key_nothing_is_told(desk: BatchDesk, key: str | None, path: str) -> None:
    headers = {"authorization": "" if key is None else f"Bearer {key}"}
    response, text = desk.call("GET", path, headers=headers)
    assert (response.status, json.loads(text)["error"]["code"]) == (401, "unauthorized")


def test_a_page_of_another_site_may_not_ask(desk: BatchDesk) -> None:
    body, headers = _form(_PART.format("rows.jsonl", '{"text": "a"}'))
    for origin in ("https://evil.example", "null", "http://localhost:1"):
        assert _refused(desk, body, {**headers, "origin": origin}) == (403, "forbidden-origin")
    response, _ = desk.call("GET", "/jobs", headers={"host": "evil.example"})
    assert response.status == 403


def test_a_deployment_that_is_none_is_a_404(desk: BatchDesk) -> None:
    for name in ("absent", "../blue", "x" * 2000, "\xff"):
        asked = {**JSONL, "azureml-model-deployment": name}
        assert _refused(desk, rows("a"), asked) == (404, "deployment-not-found")


def test_half_closed_and_idle_connections_do_no_harm(desk: BatchDesk) -> None:
    head = f"POST /jobs HTTP/1.1\r\nhost: localhost\r\napi-key: {desk.key}\r\n"
    head += "content-type: application/jsonl\r\n"
    with strangers.idle(desk.port, head):
        assert desk.call("GET", "/health")[0].status == 200
        assert desk.call("GET", "/jobs")[0].status == 200


async def test_a_thousand_at_once_are_answered_or_told_to_come_back(desk: BatchDesk) -> None:
    body = b'{"id": "a", "text": "a"}\n'
    request = (
        b"POST /jobs HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/jsonl\r\n"
        b"api-key: %b\r\ncontent-length: %d\r\n\r\n%b" % (desk.key.encode(), len(body), body)
    )
    run("batch-endpoint", "update", "-n", "my-endpoint", "--set", "jobs.max_queued=3")
    asked, _ = await strangers.a_thousand(desk.port, request)
    run("batch-endpoint", "update", "-n", "my-endpoint", "--set", "jobs.max_queued=100")
    assert asked
    for answer in asked:
        name = json.loads(answer.partition(b"\r\n\r\n")[2])["name"]
        await asyncio.to_thread(desk.over, name)


def test_schemathesis_finds_nothing(desk: BatchDesk) -> None:
    run("batch-endpoint", "update", "-n", "my-endpoint", "--set", "jobs.max_queued=2")
    strangers.schemathesis(desk.port, desk.key)
    run("batch-endpoint", "update", "-n", "my-endpoint", "--set", "jobs.max_queued=100")
