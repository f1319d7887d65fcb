"""What runs in the process of an embedded model? llama.cpp's server, until whoever started it lets go.

Started by `integrations.local_model`, which writes one line of JSON to stdin and reads one from stdout. The
server cannot be stopped while it works on a request: in the process of the flow it held the exit until the
answer was there, or for ever (seen with xllamacpp 2026.10). Here it is killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

__all__ = ["main"]


def main() -> None:
    """Serve as stdin says, until stdin ends: that is when the parent is gone, however it went.

    With a `lifeline` in what it says, until nobody has that pipe open any more, either.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nothing that the library prints is taken for the answer
    wanted = json.loads(sys.stdin.readline())
    _lift_the_limit()
    try:
        engine = _started(wanted)
    except (RuntimeError, ImportError) as error:
        print(json.dumps({"error": f"{error}"}), file=answers, flush=True)
        return
    try:
        lifeline = os.open(wanted["lifeline"], os.O_RDONLY | os.O_NONBLOCK) if "lifeline" in wanted else None
        print(json.dumps({"address": engine.listening_address}), file=answers, flush=True)
        sys.stdin.read()
        if lifeline is not None:
            os.set_blocking(lifeline, True)
            while os.read(lifeline, 1):
                pass
    finally:
        os.kill(os.getpid(), signal.SIGKILL)


def _lift_the_limit() -> None:
    """`--worker-memory` is for the user's code in the worker that happened to start this."""
    try:
        import resource
    except ImportError:  # pragma: no cover  # Windows
        return
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _started(wanted: dict[str, Any]) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = wanted["path"]
    params.model_alias = {wanted["name"]}
    params.n_ctx = wanted["n_ctx"] * wanted["parallel"]  # the server splits its context among its slots
    params.n_parallel = wanted["parallel"]
    # As many threads as cores is a trap: with anything else running the rate falls 5 to 20 times.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = wanted["threads"]
    # Nodes with different prompts take turns; a kept prompt is not read again: a quarter of the CPU.
    params.cache_ram_mib = wanted["kept_prompts_mib"]
    params.verbosity = 1  # silent
    params.ui = False
    params.warmup = False
    params.port = 0
    params.hostnames = ["127.0.0.1"]
    params.api_keys = [wanted["api_key"]]
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
