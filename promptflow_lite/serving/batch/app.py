"""What does a batch endpoint answer? Jobs: asked for, looked at, ended, fetched, behind one door."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.routing import Route

from promptflow_lite.errors import UserError
from promptflow_lite.runs.store import check_name
from promptflow_lite.serving.application import application
from promptflow_lite.serving.batch import changes, intake, shown
from promptflow_lite.serving.batch.job import Job, new_name
from promptflow_lite.serving.batch.operations import document_of
from promptflow_lite.serving.batch.queue import Queue
from promptflow_lite.serving.batch.room import LATER, Room
from promptflow_lite.serving.batch.spec import BatchDeploymentSpec, BatchEndpointSpec
from promptflow_lite.serving.batch.store import Kept
from promptflow_lite.serving.call import Call, Limits, Receive, Scope, Send
from promptflow_lite.serving.door import Access, Closing
from promptflow_lite.serving.metrics import Metrics
from promptflow_lite.serving.refusal import Refusal
from promptflow_lite.serving.reply import send_json
from promptflow_lite.serving.running import log

__all__ = ["create_app"]

_JSON = "application/json"
_FORM = "multipart/form-data"
_CHUNK = 256 * 1024
_LISTED = 100


def create_app(
    kept: Kept, queue: Queue, access: Access, limits: Limits, *, closing: Closing | None = None
) -> FastAPI:
    """The application of a batch endpoint.

    Args:
        kept: the endpoint.
        queue: is told of new jobs, and knows how many there are.
        access: who may come in.
        limits: of bodies that are no data.
        closing: how the server tells that it is going down.
    """
    here = version("promptflow_lite")

    def document() -> dict[str, Any]:
        return document_of(kept.name, kept.read(), version=here, keys=access.keys.are_asked_for)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await queue.close()

    return application(
        kept.name,
        [
            Route("/jobs", _Jobs(kept, queue), methods=["GET", "POST"]),
            Route("/jobs/{name}", _One(kept), methods=["GET"]),
            Route("/jobs/{name}/cancel", _Cancel(kept), methods=["POST"]),
            Route("/jobs/{name}/output", _Output(kept), methods=["GET"]),
        ],
        document,
        version=here,
        lifespan=lifespan,
        access=access,
        limits=limits,
        metrics=Metrics(),
        closing=closing,
    )


class _Jobs:
    """`POST /jobs` asks for a job, `GET /jobs` shows the newest."""

    def __init__(self, kept: Kept, queue: Queue) -> None:
        self._kept = kept
        self._queue = queue
        self._room = Room(kept.jobs_folder)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["method"] != "POST":
            found = await asyncio.to_thread(self._newest)
            await send_json(send, 200, {"value": found})
            return
        job = await self._ask(Call.of(scope), receive)
        self._queue.add(job.name)
        location = (b"location", f"/jobs/{job.name}".encode())
        await send_json(send, 201, shown.as_json(job), [location])

    def _newest(self) -> list[dict[str, Any]]:
        return [shown.as_json(job) for job in self._kept.jobs(_LISTED)]

    async def _ask(self, call: Call, receive: Receive) -> Job:
        spec = self._kept.read()
        deployment = self._chosen(spec, call)
        call.deployment = deployment.name
        with self._queue.room(spec.jobs):
            kind = call.headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
            if kind == _FORM or kind in intake.KINDS:
                return await self._of_file(call, receive, spec, deployment)
            if kind != _JSON:
                kinds = ", ".join([_JSON, _FORM, *intake.KINDS])
                raise Refusal(415, "unknown-kind", f"expected one of these types: {kinds}")
            return await self._of_path(await call.json(receive), spec, deployment)

    def _chosen(self, spec: BatchEndpointSpec, call: Call) -> BatchDeploymentSpec:
        given = call.headers.get(b"azureml-model-deployment")
        try:
            return changes.chosen(spec, None if given is None else given.decode("latin-1")[:100])
        except UserError as error:
            raise Refusal(404, error.code or "deployment-not-found", error.message) from None

    async def _of_file(
        self, call: Call, receive: Receive, spec: BatchEndpointSpec, deployment: BatchDeploymentSpec
    ) -> Job:
        name = new_name()
        home = self._kept.jobs_folder / name
        try:
            async with self._room.hold(intake.length_of(call), spec.jobs):
                most = spec.jobs.max_upload_bytes
                path, sent = await intake.receive_file(call, receive, home / "data", most)
                ask = changes.ask
                return await asyncio.to_thread(ask, self._kept, deployment, path, name=name, shown=sent)
        except BaseException as error:
            await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)
            if isinstance(error, OSError):
                log.error("a file cannot be kept: %s", error)
                raise Refusal(
                    503, "no-room", "the file cannot be kept; come back later", headers=[LATER]
                ) from None
            raise

    async def _of_path(self, body: Any, spec: BatchEndpointSpec, deployment: BatchDeploymentSpec) -> Job:
        wanted = shown.asked_of(body)
        path = await asyncio.to_thread(
            intake.path_of, wanted.uri, spec.data_folders, is_folder=wanted.is_folder
        )
        try:
            return await asyncio.to_thread(
                changes.ask,
                self._kept,
                deployment,
                path,
                shown=wanted.uri,
                literals=wanted.literals,
                about=wanted.about,
                folders=spec.data_folders,
            )
        except UserError as error:
            raise Refusal(400, error.code or "wrong-input", error.message, param="InputData") from None


class _Named:
    """A path that names a job."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def _job(self, scope: Scope) -> Job:
        name = scope["path_params"]["name"]
        try:
            folder = self._kept.jobs_folder / check_name(name)
        except UserError:
            folder = None
        if folder is None or not (folder / "job.json").is_file():
            raise Refusal(404, "job-not-found", "there is no such job")
        return Job(folder)


class _One(_Named):
    """`GET /jobs/{name}`: how a job is."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await send_json(send, 200, shown.as_json(self._job(scope)))


class _Cancel(_Named):
    """`POST /jobs/{name}/cancel`: the end of a job; one that has ended stays as it is."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        job = self._job(scope)
        job.cancel()
        await send_json(send, 202, shown.as_json(job))


class _Output(_Named):
    """`GET /jobs/{name}/output`: the predictions, or the summary."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        job = self._job(scope)
        path = job.output
        if path is None or not await asyncio.to_thread(path.is_file):
            raise Refusal(404, "no-output", f"the job is {job.status}; there is no output yet")
        await _send_file(send, path)


async def _send_file(send: Send, path: Path) -> None:
    with await asyncio.to_thread(path.open, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = [
            (b"content-type", shown.KINDS.get(path.suffix, "application/octet-stream").encode()),
            (b"content-length", b"%d" % size),
            (b"content-disposition", b'attachment; filename="%b"' % path.name.encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        while part := await asyncio.to_thread(file.read, _CHUNK):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
