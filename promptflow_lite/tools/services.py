"""What do the web services say that Prompt flow has tools for? SerpApi, and Azure AI Content Safety."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import orjson

from promptflow_lite.connections.base import Connection, scrub
from promptflow_lite.errors import InputError, near_miss
from promptflow_lite.tools.endpoint import Endpoint
from promptflow_lite.tools.failure import ModelError, refused
from promptflow_lite.tools.transport import fetch
from promptflow_lite.tools.wire import ask

__all__ = ["SERPAPI", "judge_text", "search_the_web"]

SERPAPI = "https://serpapi.com/search"
_SECONDS = 60.0
_THRESHOLDS = {"disable": -1, "low_sensitivity": 6, "medium_sensitivity": 4, "high_sensitivity": 2}
_SINCE_CATEGORIES = "2023-10-01"
"""The version of the API from which on an answer lists `categoriesAnalysis`."""


def search_the_web(
    connection: Connection,
    query: str,
    *,
    engine: str = "google",
    location: str | None = None,
    safe: bool = False,
    count: int = 10,
    address: str = SERPAPI,
) -> dict[str, Any]:
    """SerpApi's answer to a query.

    Args:
        connection: of type serp.
        query: what is looked for.
        engine: `google` or `bing`.
        location: where from.
        safe: leave out what is for adults.
        count: how many findings; 0 leaves it to the engine.
        address: the service.

    Raises:
        ModelError: the service refused, or did not answer.
    """
    is_google = engine == "google"
    wanted: dict[str, Any] = {
        "q": query,
        "location": location,
        "api_key": connection.api_key,
        "engine": engine,
    }
    if safe:
        wanted |= {"safe": "Active"} if is_google else {"safeSearch": "Strict"}
    if count > 0:
        wanted["num" if is_google else "count"] = count
    given = {name: str(value) for name, value in wanted.items() if value is not None}
    return _get(address, {**given, "source": "python", "output": "json"}, connection)


def _get(address: str, query: Mapping[str, str], connection: Connection) -> dict[str, Any]:
    secrets = [str(secret) for secret in connection.secrets.values()]
    where = connection.name or connection.TYPE
    try:
        status, header, body = fetch(address, query, seconds=_SECONDS)
    except ModelError as error:
        raise ModelError(scrub(f"{where}: {error.message}", secrets), code=error.code) from error
    if status != 200:
        failure = refused(status, header, body, where=where)
        failure.args = (scrub(failure.message, secrets),)
        failure.message = failure.args[0]
        raise failure
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ModelError(f"{where}: gave an answer that is no JSON", code="bad-answer") from error
    found: dict[str, Any] = answer if isinstance(answer, dict) else {"results": answer}
    return found


async def judge_text(connection: Connection, text: str, sensitivity: Mapping[str, str]) -> dict[str, Any]:
    """Whether a text may pass, as a whole and by category.

    Prompt flow: azure_content_safety.py.

    Args:
        connection: of type azure_content_safety.
        text: what is judged.
        sensitivity: by category (`Hate`, `SelfHarm`, `Sexual`, `Violence`), `disable` or `low_`, `medium_`,
            `high_sensitivity`.

    Raises:
        InputError: another sensitivity.
        ModelError: the service refused, or left a category out.
    """
    thresholds = {name: _threshold(name, choice) for name, choice in sensitivity.items()}
    version = str(connection.api_version)
    endpoint = Endpoint(
        name=connection.name or connection.TYPE,
        base_url=f"{str(connection.endpoint).rstrip('/')}/contentsafety",
        headers={"ocp-apim-subscription-key": str(connection.api_key)},
        secrets=tuple(str(secret) for secret in connection.secrets.values()),
        timeout=timedelta(seconds=_SECONDS),
    )
    body = {"text": text, "blocklistNames": []}
    answer = await ask(endpoint, f"text:analyze?api-version={version}", body, dict)
    severities = _severities(answer, version)
    actions: dict[str, str] = {}
    for name, threshold in thresholds.items():
        if name not in severities:
            raise ModelError(f"{endpoint.name}: the answer judges no {name}", code="bad-answer")
        actions[name] = "Reject" if threshold != -1 and severities[name] >= threshold else "Accept"
    listed = answer.get("blocklistsMatch") or answer.get("blocklistsMatchResults")
    return {
        "suggested_action": "Reject" if listed or "Reject" in actions.values() else "Accept",
        "action_by_category": actions,
    }


def _threshold(name: str, choice: str) -> int:
    if choice not in _THRESHOLDS:
        raise InputError(
            f"{name}: expected one of {', '.join(_THRESHOLDS)}, got {choice!r}",
            code="wrong-input",
            hint=near_miss(choice, _THRESHOLDS),
        )
    return _THRESHOLDS[choice]


def _severities(answer: Mapping[str, Any], version: str) -> dict[str, int]:
    if version >= _SINCE_CATEGORIES:
        return {item["category"]: int(item["severity"]) for item in answer.get("categoriesAnalysis") or ()}
    older = {
        name: answer.get(f"{name[0].lower()}{name[1:]}Result")
        for name in ("Hate", "SelfHarm", "Sexual", "Violence")
    }
    return {name: int(result["severity"]) for name, result in older.items() if result}
