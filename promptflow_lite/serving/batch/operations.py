"""Which operations does a batch endpoint have, and how do they answer? Its OpenAPI 3.0 document."""

from __future__ import annotations

from typing import Any

from promptflow_lite.serving.batch.intake import KINDS
from promptflow_lite.serving.batch.job import JobStatus
from promptflow_lite.serving.batch.spec import BatchEndpointSpec
from promptflow_lite.serving.operations import SHAPES, answers, content, fields, ref

__all__ = ["document_of"]

_STRING = {"type": "string"}
_NAME = {"name": "name", "in": "path", "required": True, "schema": {**_STRING, "example": "batchjob-0123"}}
_DEPLOYMENT = {
    "name": "azureml-model-deployment",
    "in": "header",
    "required": False,
    "description": "a deployment other than the default",
    "schema": _STRING,
}
_COUNT = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string", "nullable": True}
_INPUT = {
    "type": "object",
    "required": ["JobInputType", "Uri"],
    "properties": {
        "JobInputType": {"type": "string", "enum": ["UriFile", "UriFolder"]},
        "Uri": {
            "type": "string",
            "description": "a path in the endpoint's data folders, also as file:///path",
            "pattern": r"^/?[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$",
            "maxLength": 1000,
        },
    },
}
_LITERALS = (
    "beside the data inputs of the flow that are the same for all rows, as in "
    '{"tone": {"JobInputType": "Literal", "Value": "formal"}}'
)
_ASKED = fields(
    ["properties"],
    properties=fields(
        ["InputData"],
        InputData={
            "type": "object",
            "description": _LITERALS,
            "required": ["data"],
            "properties": {"data": _INPUT},
            "additionalProperties": False,
        },
        displayName={**_STRING, "maxLength": 1000},
        description={**_STRING, "maxLength": 1000},
        tags={"type": "object", "additionalProperties": {**_STRING, "maxLength": 1000}},
    ),
)
_JOB = fields(
    ["id", "name", "properties"],
    id=_STRING,
    name=_STRING,
    properties=fields(
        ["status", "deployment", "lines", "progress", "errors"],
        status={"type": "string", "enum": [str(status) for status in JobStatus]},
        endpoint=_STRING,
        deployment=_STRING,
        data=_STRING,
        displayName=_TEXT,
        description=_TEXT,
        tags={"type": "object"},
        created=_TEXT,
        ended=_TEXT,
        lines=fields(None, total=_COUNT, completed=_COUNT, failed=_COUNT, skipped=_COUNT),
        progress={"type": "number", "minimum": 0, "maximum": 1},
        failures={"type": "object", "description": "failed rows by code"},
        errors={"type": "array", "items": {"type": "object"}, "description": "the first rows that failed"},
        error={"type": "object", "nullable": True},
        metrics={"type": "object"},
        usage={"type": "object"},
        cost={"type": "number", "nullable": True},
        seconds={"type": "number", "nullable": True},
        output={"type": "object", "nullable": True},
    ),
)
_SEES = ("401", "403", "404", "503")


def document_of(title: str, spec: BatchEndpointSpec, *, version: str, keys: bool) -> dict[str, Any]:
    """The document.

    Args:
        title: the endpoint's name.
        spec: the endpoint.
        version: of the server.
        keys: whether a key is asked for.
    """
    return {
        "openapi": "3.0.3",
        "info": {
            "title": title,
            "version": version,
            **({"description": spec.description} if spec.description else {}),
        },
        "servers": [{"url": "/"}],
        **({"security": [{"bearer": []}, {"apiKey": []}]} if keys else {}),
        "paths": _paths(),
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "api-key"},
            },
            "schemas": {
                "Error": SHAPES["Error"],
                "Health": SHAPES["Health"],
                "JobAsked": _ASKED,
                "Job": _JOB,
                "Jobs": fields(["value"], value={"type": "array", "items": ref("Job")}),
            },
        },
    }


def _paths() -> dict[str, Any]:
    job = content(ref("Job"))
    found = {"description": "the job", "content": job}
    return {
        "/jobs": {
            "post": {
                "operationId": "ask",
                "summary": "Run the flow over a file; gives back a job.",
                "parameters": [_DEPLOYMENT],
                "requestBody": {"required": True, "content": {**content(ref("JobAsked")), **_bodies()}},
                "responses": {
                    "201": found,
                    **_refused("400", "401", "403", "404", "408", "413", "415", "429", "503"),
                },
            },
            "get": {
                "operationId": "jobs",
                "summary": "The newest jobs.",
                "responses": answers(ref("Jobs"), "401", "403", "503"),
            },
        },
        "/jobs/{name}": {"get": _of_job("job", "How a job is.", answers(ref("Job"), *_SEES))},
        "/jobs/{name}/cancel": {
            "post": _of_job("cancel", "End a job.", {"202": found, **_refused(*_SEES)}),
        },
        "/jobs/{name}/output": {
            "get": _of_job(
                "output",
                "The predictions of a job that has ended, or its summary.",
                answers({"type": "object"}, *_SEES, **_files()),
            )
        },
        "/health": {
            "get": {
                "operationId": "health",
                "summary": "Whether it serves.",
                "security": [],
                "responses": answers(ref("Health"), "401", "403", "503"),
            }
        },
    }


def _of_job(name: str, summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {"operationId": name, "summary": summary, "parameters": [_NAME], "responses": responses}


def _refused(*codes: str) -> dict[str, Any]:
    made = answers({}, *codes)
    del made["200"]
    return made


def _bodies() -> dict[str, Any]:
    """The forms of data that is sent itself."""
    file = {"type": "string", "minLength": 1, "description": "the rows, as a file or as text (JSON Lines)"}
    form = fields(["data"], data=file)
    rows = {**_STRING, "minLength": 1}
    return {"multipart/form-data": {"schema": form}, **{kind: {"schema": rows} for kind in KINDS}}


def _files() -> dict[str, Any]:
    return {kind: {"schema": _STRING} for kind in ("text/csv", "application/jsonl")}
