"""What do `pf flow serve` and `pf flow key` do? Listen, announce, serve; keys, kept as hashes."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from promptflow_lite.cli.command import overrides
from promptflow_lite.cli.console import is_interactive, neutral, paint, say, say_safely
from promptflow_lite.errors import UserError
from promptflow_lite.settings import settings

if TYPE_CHECKING:
    import socket

    from promptflow_lite.serving.deployment import BoundDeployment
    from promptflow_lite.serving.plan import Plan

__all__ = ["Asked", "make_keys", "serve"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options of `pf flow serve` as they were typed."""

    source: Path
    host: str
    port: int
    workers: int
    reload: bool
    variant: str | None
    connections: Sequence[str] | None
    environment_variables: Sequence[str] | None
    init: Sequence[str] | None
    key_file: Path | None
    allowed_hosts: Sequence[str] | None
    cors_origins: Sequence[str] | None
    timeout_s: float
    max_concurrency: int
    max_queue: int
    queue_wait_s: float
    max_body_bytes: int
    grace_s: float
    skip_open_browser: bool
    log_level: str
    collect: Path | None = None
    mlflow: str | None = None
    sampling_rate: float = 1.0
    keep_days: float = 30.0
    keep_mb: int = 1024
    mcp: bool = False
    stdio: bool = False


def serve(asked: Asked) -> int:
    """Serve until Ctrl-C or SIGTERM; the exit code."""
    from promptflow_lite.serving.server import claim, is_loopback

    if asked.stdio and not asked.mcp:
        raise UserError("--stdio goes with --mcp", code="bad-option")
    if _is_endpoint(asked.source):
        return _serve_endpoint(asked)
    if asked.stdio:
        return _speak(asked)
    bound = claim(asked.host, asked.port)
    with contextlib.closing(bound):
        plan = _plan(asked, is_open=not is_loopback(bound))
        if asked.workers > 1 or asked.reload:
            from promptflow_lite.serving import workers

            return workers.serve(
                plan,
                bound,
                workers=asked.workers,
                reload=asked.reload,
                say=say_safely,
                on_ready=lambda: _announce(asked, bound),
            )
        from promptflow_lite.serving.one import serve as serve_here

        plan.configure_log()
        deployment = _bound(plan)
        ended_by = serve_here(plan, deployment, bound, on_ready=lambda: _announce(asked, bound))
    return 0 if ended_by is None else 128 + ended_by


def _speak(asked: Asked) -> int:
    """Serve one MCP client over stdin and stdout; the exit code."""
    import asyncio

    from promptflow_lite.registry import Registry
    from promptflow_lite.serving.deployment import Alone
    from promptflow_lite.serving.metrics import Metrics
    from promptflow_lite.serving.running import Runs

    wrong = [
        name for name, is_said in (("--workers", asked.workers > 1), ("--reload", asked.reload)) if is_said
    ]
    if wrong:
        raise UserError(f"{', '.join(wrong)}: not with --stdio", code="bad-option")
    speak = Registry("mcp").get("stdio")
    plan = _plan(asked, is_open=False)
    plan.configure_log()
    endpoint, metrics = Alone(_bound(plan)), Metrics()
    options = plan.options(endpoint, metrics)

    async def talk() -> None:
        try:
            await speak(endpoint, Runs(metrics, options.traffic), only=options.only)
        finally:
            await endpoint.close()
            if options.traffic is not None:
                options.traffic.close()

    asyncio.run(talk())
    return 0


def make_keys(key_file: Path, *, replace: int | None) -> None:
    """Write two new keys to `key_file`, or replace one of those it holds; show the new ones, once."""
    from promptflow_lite.serving import keys

    if replace is None and key_file.exists():
        raise UserError(
            f"{key_file} is there already",
            hint="--replace 1 or --replace 2 makes one of its keys anew",
            code="bad-option",
        )
    for key in keys.make(key_file) if replace is None else [keys.renew(key_file, replace - 1)]:
        print(key)
    say(f"kept as a hash in {neutral(str(key_file))}; shown only now")


def _bound(plan: Plan) -> BoundDeployment:
    with contextlib.redirect_stdout(sys.stderr):
        deployment = plan.deployment()
    for note in deployment.bound.notes:
        say_safely(note)
    return deployment


def _plan(asked: Asked, *, is_open: bool) -> Plan:
    from promptflow_lite.cli.asking import init_of, variables
    from promptflow_lite.serving.keys import Keys, generate, hashed
    from promptflow_lite.serving.plan import Plan
    from promptflow_lite.serving.way import names_here, origins_of

    key_file = asked.key_file.expanduser().absolute() if asked.key_file else None
    keys = Keys(settings().serve_keys, file=key_file)
    lines = tuple(keys.lines())
    if is_open and not lines:
        key = generate()
        lines = (hashed(key),)
        say(f"key: {key}")
        say("callers need it; it is shown only now. PF_SERVE_KEY or --key-file keeps one over a restart\n")
    collect = os.fspath(asked.collect.expanduser().absolute()) if asked.collect else ""
    return Plan(
        source=_source(asked.source),
        variant=asked.variant,
        overrides=overrides(asked.connections),
        environment_variables=variables(asked.environment_variables) if asked.environment_variables else {},
        init=init_of(asked.init),
        timeout_s=asked.timeout_s,
        max_concurrency=asked.max_concurrency,
        max_queue=asked.max_queue,
        queue_wait_s=asked.queue_wait_s,
        max_body_bytes=asked.max_body_bytes,
        grace_s=asked.grace_s,
        keys=() if key_file else lines,
        key_file=None if key_file is None else os.fspath(key_file),
        hosts=None if is_open else names_here(asked.host, asked.allowed_hosts or ()),
        log_level=asked.log_level,
        origins=origins_of(asked.cors_origins or ()),
        collect=collect,
        feedback=f"{collect}/feedback.jsonl" if collect else "",
        sampling_rate=asked.sampling_rate,
        keep_days=asked.keep_days,
        keep_mb=asked.keep_mb,
        mlflow=asked.mlflow or "",
        mcp=asked.mcp,
    )


def _is_endpoint(source: Path) -> bool:
    """Whether the file describes an endpoint of several deployments, and no flow."""
    from promptflow_lite.flow.source import read_yaml

    if source.suffix not in (".yml", ".yaml") or not source.is_file():
        return False
    data = read_yaml(source).data
    return isinstance(data, dict) and not data.keys().isdisjoint(("auth_mode", "deployments", "traffic"))


def _serve_endpoint(asked: Asked) -> int:
    from promptflow_lite.cli import endpoint_serve

    stated = {
        "--workers": asked.workers > 1,
        "--reload": asked.reload,
        "--variant": asked.variant,
        "--connections": asked.connections,
        "--environment-variables": asked.environment_variables,
        "--init": asked.init,
        "--key-file": asked.key_file,
        "--collect": asked.collect,
        "--sampling-rate": asked.sampling_rate != 1.0,
        "--keep-days": asked.keep_days != 30.0,
        "--keep-mb": asked.keep_mb != 1024,
        "--stdio": asked.stdio,
    }
    wrong = [option for option, is_said in stated.items() if is_said]
    if wrong:
        message = f"{', '.join(wrong)}: not for an endpoint, whose deployments say that themselves"
        hint = "see instance_count, variants, connections, data_collector"
        raise UserError(message, code="bad-option", hint=hint)
    kept = endpoint_serve.applied(asked.source)
    return endpoint_serve.serve(
        kept,
        endpoint_serve.Where(
            host=asked.host,
            port=asked.port,
            allowed_hosts=asked.allowed_hosts or (),
            cors_origins=asked.cors_origins or (),
            max_body_bytes=asked.max_body_bytes,
            grace_s=asked.grace_s,
            log_level=asked.log_level,
            mlflow=asked.mlflow or "",
            mcp=asked.mcp,
        ),
    )


def _source(source: Path) -> str:
    """The flow's path, absolute; `module:function` as it is."""
    path = source.expanduser()
    is_entry = ":" in source.name and not path.exists()
    return os.fspath(source if is_entry else path.absolute())


def _announce(asked: Asked, bound: socket.socket) -> None:
    host, port = bound.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}"
    name = asked.source.name or asked.source.resolve().name
    say(f"serving {neutral(name)} at {paint(url, 'bold')} (Ctrl-C ends it)")
    if not asked.skip_open_browser and is_interactive() and _has_desktop():
        import threading
        import webbrowser

        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def _has_desktop() -> bool:
    """Whether a browser can open a window; in a terminal it would take the place of what we say."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
