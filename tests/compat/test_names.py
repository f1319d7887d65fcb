"""What the names do that flow code imports from `promptflow`."""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar
from pathlib import Path

import pytest

from promptflow_lite.compat import log_flow_metric, log_metric
from promptflow_lite.compat._utils.logger_utils import get_logger
from promptflow_lite.compat._utils.yaml_utils import dump_yaml, load_yaml
from promptflow_lite.compat.connections import AzureOpenAIConnection
from promptflow_lite.compat.contracts.types import FilePath, Secret
from promptflow_lite.compat.entities import DynamicList, InputSetting
from promptflow_lite.compat.exceptions import ErrorTarget, UserErrorException, ValidationException
from promptflow_lite.compat.internal import ErrorResponse, ExceptionPresenter
from promptflow_lite.compat.sdk_errors import ToolExecutionError
from promptflow_lite.compat.tracing import ThreadPoolExecutorWithContext, start_trace, trace
from promptflow_lite.errors import PromptflowError


def test_trace_leaves_a_function_as_it_is_bare_and_with_arguments() -> None:
    def plain(x: int) -> int:
        return x + 1

    async def waiting(x: int) -> int:
        return x + 2

    assert trace(plain) is plain
    assert trace(name="x", args_to_ignore=["x"])(plain) is plain
    assert asyncio.run(trace(waiting)(1)) == 3


def test_start_trace_says_in_the_log_that_nothing_is_collected(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "promptflow_lite.compat"):
        start_trace(collection="mine")
    assert "collects no traces" in caplog.text


def test_threads_of_the_executor_see_the_context() -> None:
    word = ContextVar("word", default="")
    word.set("here")
    with ThreadPoolExecutorWithContext(max_workers=1) as threads:
        assert threads.submit(word.get).result() == "here"
        assert list(threads.map(lambda _: word.get(), [1])) == ["here"]


def test_texts_with_a_meaning_are_texts() -> None:
    assert (Secret("s"), FilePath("a/b")) == ("s", "a/b")


def test_a_message_format_is_filled_and_gaps_are_named() -> None:
    error = UserErrorException(message_format="{a} is not {b}", a=1, target=ErrorTarget.TOOL)
    assert str(error) == "1 is not <b>"
    assert (error.target, error.message_format) == (ErrorTarget.TOOL, "{a} is not {b}")


def test_an_error_of_flow_code_is_one_of_ours_with_its_class_as_code() -> None:
    cause = ValueError("deep")
    error = ValidationException("no such column", error=cause)
    assert isinstance(error, UserErrorException) and isinstance(error, PromptflowError)
    assert (str(error), error.code, error.inner_exception) == ("no such column", "ValidationException", cause)
    assert str(UserErrorException()) == "UserErrorException"


def test_editor_settings_keep_what_they_were_told() -> None:
    setting = InputSetting(is_multi_select=True, dynamic_list=DynamicList(function=print))
    assert setting.is_multi_select and setting.dynamic_list and setting.dynamic_list.function is print


def test_the_metric_loggers_are_one() -> None:
    assert log_flow_metric is log_metric


def test_an_error_is_presented_as_services_of_prompt_flow_do() -> None:
    error = ToolExecutionError("it broke", target=ErrorTarget.TOOL)
    assert (error.reference_code, error.additional_info) == ("Tool", None)
    assert error.error_codes == ["UserError", "ToolExecutionError"]
    answer = ErrorResponse(ExceptionPresenter.create(error).to_dict())
    assert answer.response_code == "400"
    assert answer.to_simplified_dict() == {"error": {"code": "UserError", "message": "it broke"}}
    assert ErrorResponse(ExceptionPresenter.create(KeyError("x")).to_dict()).response_code == "500"
    assert "it broke" in ExceptionPresenter.create(error).formatted_traceback


def test_a_logger_writes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    get_logger("mine.own").info("step 1")
    assert "mine.own" in capsys.readouterr().err


def test_yaml_is_read_and_written(tmp_path: Path) -> None:
    assert dump_yaml({"b": [1], "a": None}) == "b:\n- 1\na: null\n"
    (tmp_path / "x.yaml").write_text("a: 1\n")
    assert load_yaml(tmp_path / "x.yaml") == {"a": 1} and load_yaml(None) == {}


def test_prompt_flows_record_of_a_connection_hides_its_secret() -> None:
    shown = AzureOpenAIConnection(name="a", api_key="sk-1", api_base="b")._to_dict()
    assert (shown["name"], shown["api_key"], shown["api_base"]) == ("a", "******", "b")
