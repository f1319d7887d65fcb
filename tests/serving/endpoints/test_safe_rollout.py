"""Azure ML's safe roll-out, line for line, under load."""

from __future__ import annotations

from pathlib import Path

from promptflow_lite.settings import settings
from tests.serving.endpoints.desk import Desk, Load, flow, run


def test_a_safe_rollout_drops_no_request(tmp_path: Path) -> None:
    blue, green = flow(tmp_path / "a" / "bot", "blue"), flow(tmp_path / "b" / "bot", "green")
    with Desk(tmp_path) as desk:
        assert desk.score()[0] == 503
        desk.deploy("blue", blue, "--all-traffic")
        with Load(desk) as load:
            assert set(load.taken()) == {(200, "blue")}

            desk.deploy("green", green)
            request = tmp_path / "request.json"
            request.write_text('{"text": "hi"}')
            invoke = ("endpoint", "invoke", "--name", "my-endpoint", "--request-file", str(request))
            assert run(*invoke, "--deployment-name", "green") == '{"text":"green"}\n'
            assert run(*invoke) == '{"text":"blue"}\n'
            assert desk.score(azureml_model_deployment="green") == (200, {"text": "green"})
            assert set(load.taken()) == {(200, "blue")}

            desk.update("--mirror-traffic", "green=10")
            assert set(load.taken()) == {(200, "blue")}
            mirrored = r'promptflow_requests_total\{deployment="green",path="mirror",status="200"\}'
            assert desk.metric(mirrored) > 0

            desk.update("--mirror-traffic", "green=0")
            load.taken()
            before = desk.metric(mirrored)
            assert set(load.taken()) == {(200, "blue")}
            assert desk.metric(mirrored) == before

            desk.update("--traffic", "blue=90 green=10")
            load.taken()
            shared = load.taken()
            assert set(shared) == {(200, "blue"), (200, "green")}
            assert shared[200, "blue"] > shared[200, "green"]

            desk.update("--traffic", "blue=0 green=100")
            load.taken()
            assert set(load.taken()) == {(200, "green")}

            run("deployment", "delete", "--name", "blue", "--endpoint-name", "my-endpoint", "--yes")
            assert set(load.taken()) == {(200, "green")}
        assert load.failures == []
        assert desk.score(azureml_model_deployment="blue")[1]["error"]["code"] == "deployment-not-found"
    assert not (settings().home / "endpoints" / "my-endpoint" / "status.json").exists()
