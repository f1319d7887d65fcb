"""The page's files: all of them there, none of anybody else's, and open to those without a key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from promptflow_lite.serving import page
from tests.flows_of import echo
from tests.serving.served import Served, raw

STATIC = Path(page.__file__).with_name("static")
KEY = "a-key-of-the-tests"


def test_the_page_names_all_of_its_modules_and_no_other() -> None:
    index = (STATIC / "index.html").read_text()
    named = re.findall(r'(?:href|src)="\./page/([\w.]+)"', index)
    assert sorted(named) == sorted(file.name for file in STATIC.iterdir() if file.name != "index.html")


def test_the_page_uses_nothing_of_elsewhere() -> None:
    for file in STATIC.iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        found = re.findall(r"""(?:src|href|url\(|import|fetch\()\s*=?\s*["'(]\s*(?:https?:)?//""", text)
        assert found == [], file.name
        assert not re.search(r"\.(inner|outer)HTML|insertAdjacentHTML|document\.write|\beval\(", text), (
            file.name
        )


def test_the_files_are_served_without_a_key_as_what_they_are(tmp_path: Path) -> None:
    with Served(echo(tmp_path / "echo"), keys=(KEY,)) as served:
        for name, kind in (
            ("main.js", "text/javascript"),
            ("base.css", "text/css"),
            ("icon.svg", "image/svg+xml"),
        ):
            response, text = served.call("GET", f"/page/{name}")
            assert response.status == 200
            assert (response.getheader("content-type") or "").startswith(kind)
            assert text == (STATIC / name).read_bytes()
            assert response.getheader("x-content-type-options") == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/page/",
        "/page/nothing.js",
        "/page/files.py",
        "/page/__init__.py",
        "/page/../files.py",
        "/page/..%2ffiles.py",
        "/page/%2e%2e/files.py",
        "/page/..%5cfiles.py",
        "/page/main.js/",
        "/page/MAIN.js",
        "/page//etc/passwd",
        "/page/main.js%00.css",
    ],
)
def test_no_other_file_is_served(tmp_path: Path, path: str) -> None:
    with Served(echo(tmp_path / "echo")) as served:
        head = f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode()
        answer = raw(served.port, head)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"not-found" in answer
