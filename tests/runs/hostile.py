"""A flow whose tool does to its process what its input says."""

from __future__ import annotations

from pathlib import Path

__all__ = ["hostile_flow"]

FLOW = """\
inputs:
  do: {type: string}
  text: {type: string}
outputs:
  said: {type: string, reference: "${say.output}"}
nodes:
- name: say
  type: python
  source: {type: code, path: say.py}
  inputs: {do: "${inputs.do}", text: "${inputs.text}"}
- name: count
  type: python
  aggregation: true
  source: {type: code, path: count.py}
  inputs: {said: "${say.output}"}
"""

SAY = """\
import ctypes
import os
import pathlib
import subprocess
import sys
import time

from promptflow_lite import tool

kept = []


@tool
def say(do: str, text: str) -> str:
    with pathlib.Path("{calls}").open("a") as calls:
        calls.write(f"{text} {os.getpid()}\\n")
    match do:
        case "segfault":
            time.sleep(0.2)  # the others have begun
            ctypes.string_at(0)
        case "exit":
            os._exit(7)
        case "sys.exit":
            sys.exit(3)
        case "interrupt":
            raise KeyboardInterrupt
        case "kill":
            os.kill(os.getpid(), 9)
        case "hang":
            time.sleep(1000)
        case "hang in C":
            time.sleep(0.2)
            ctypes.PyDLL(None).sleep(1000)  # holds the interpreter all the while
        case "leak":
            kept.append(bytearray(2 << 30))
        case "child":
            return f"t{subprocess.Popen(['sleep', '1000']).pid}"
        case "child and hang":
            child = subprocess.Popen(["sleep", "1000"])
            with pathlib.Path("{calls}").open("a") as calls:
                calls.write(f"child {child.pid}\\n")
            time.sleep(1000)
        case "print":
            print("python says", text)
            ctypes.CDLL(None).puts(f"C says {text}".encode())
            subprocess.run(["echo", "a program says", text])
        case "flood":
            for _ in range(3000):
                print("x" * 999)
        case "spin":
            sum(range(30_000_000))
        case "slow":
            time.sleep(0.5)
    return text.upper()
"""

COUNT = """\
import os

from promptflow_lite import log_metric, tool


@tool
def count(said: list) -> int:
    log_metric("count", len(said))
    if "DIE" in said:
        os.abort()
    return os.getpid()
"""


def hostile_flow(folder: Path) -> Path:
    """The flow; each start of a line adds its text and its process to the file `calls` beside the flow."""
    folder.mkdir(parents=True)
    (folder / "flow.dag.yaml").write_text(FLOW)
    (folder / "say.py").write_text(SAY.replace("{calls}", str(folder.parent / "calls")))
    (folder / "count.py").write_text(COUNT)
    return folder
