"""Keys, sites and proxies: who may come in."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from promptflow_lite.errors import UserError
from promptflow_lite.serving.keys import Keys, generate, hashed, write
from tests.flows_of import echo
from tests.serving.served import Served
from tests.waiting import until

ONE, TWO, THREE = (f"{name}-key-of-the-tests" for name in ("first", "second", "third"))
PATHS = [
    ("GET", "/version"),
    ("GET", "/metrics"),
    ("GET", "/swagger.json"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/v1/models"),
    ("POST", "/score"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/feedback"),
    ("GET", "/nothing"),
    ("GET", "/Health"),
    ("GET", "/%68ealth"),
    ("GET", "//"),
    ("GET", "/health/"),
    ("OPTIONS", "/score"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_without_a_key_there_is_no_way_in(tmp_path: Path, method: str, path: str) -> None:
    with Served(echo(tmp_path / "echo"), keys=(ONE, TWO)) as served:
        for headers in (
            {},
            {"authorization": "Bearer wrong"},
            {"api-key": ""},
            {"authorization": f"Basic {ONE}"},
        ):
            response, text = served.call(method, path, headers=headers)
            error = json.loads(text)["error"]
            assert (response.status, error["code"]) == (401, "unauthorized")
            assert response.getheader("www-authenticate") == "Bearer"


def test_either_key_opens_in_either_header(tmp_path: Path) -> None:
    with Served(echo(tmp_path / "echo"), keys=(ONE, hashed(TWO))) as served:
        for key in (ONE, TWO):
            assert served.score({"text": "a"}, authorization=f"Bearer {key}")[0] == 200
            assert served.score({"text": "a"}, api_key=key)[0] == 200
        assert served.call("GET", "/health")[0].status == 200


def test_the_page_says_nothing_of_the_flow_without_a_key(tmp_path: Path) -> None:
    with Served(echo(tmp_path / "echo"), keys=(ONE,)) as served:
        response, text = served.call("GET", "/")
    assert response.status == 200
    assert b"echo" not in text
    assert b"times" not in text


def test_the_key_is_asked_for_before_the_body_is_read(tmp_path: Path) -> None:
    import socket

    head = b"POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000000\r\n\r\n"
    with (
        Served(echo(tmp_path / "echo"), keys=(ONE,)) as served,
        socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection,
    ):
        connection.sendall(head)
        assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_a_key_is_replaced_while_the_other_is_in_use(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    write(file, [ONE, TWO])
    assert ONE not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    with Served(echo(tmp_path / "echo"), key_file=str(file)) as served:
        assert served.score({"text": "a"}, api_key=ONE)[0] == 200
        write(file, [THREE, TWO])

        def is_replaced() -> bool:
            assert served.score({"text": "a"}, api_key=TWO)[0] == 200
            return served.score({"text": "a"}, api_key=ONE)[0] == 401

        until(is_replaced)
        assert served.score({"text": "a"}, api_key=THREE)[0] == 200
        file.write_text("half")
        time.sleep(1.1)
        assert served.score({"text": "a"}, api_key=TWO)[0] == 200


@pytest.mark.parametrize("keys", [["short"], [ONE, TWO, THREE], ["sha256:12"]])
def test_keys_that_are_none_are_refused(keys: list[str]) -> None:
    with pytest.raises(UserError) as error:
        Keys(keys)
    assert error.value.code == "bad-key"


def test_no_key_at_all_admits_nobody() -> None:
    keys = Keys([generate()])
    assert not keys.admit(None)
    assert not keys.admit(b"")


def test_a_site_that_is_named_may_call_and_read(tmp_path: Path) -> None:
    site = "https://app.example.com"
    with Served(echo(tmp_path / "echo"), keys=(ONE,), origins=(site,)) as served:
        asked = {"origin": site, "access-control-request-method": "POST"}
        response, _ = served.call("OPTIONS", "/score", headers=asked)
        assert response.status == 204
        assert response.getheader("access-control-allow-origin") == site
        assert "authorization" in (response.getheader("access-control-allow-headers") or "")
        response, _ = served.call("POST", "/score", {"text": "a"}, {"origin": site, "api-key": ONE})
        assert response.status == 200
        assert response.getheader("access-control-allow-origin") == site
        assert response.getheader("access-control-allow-credentials") is None
        assert served.score({"text": "a"}, origin=site)[0] == 401
        assert served.score({"text": "a"}, origin="https://app.example.com.evil", api_key=ONE)[0] == 403


def test_a_proxy_may_use_its_own_host_name(tmp_path: Path) -> None:
    with Served(echo(tmp_path / "echo"), hosts=("localhost", "bot.example.com")) as served:
        assert served.score({"text": "a"}, host="bot.example.com:443")[0] == 200
