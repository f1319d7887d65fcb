"""`python -m promptflow_lite.compat script.py ...` runs a script that imports `promptflow`."""

import runpy
import sys
from pathlib import Path

from promptflow_lite import aliases

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python -m promptflow_lite.compat SCRIPT [ARGUMENTS]")
    aliases.install()
    sys.argv = sys.argv[1:]
    sys.path.insert(0, str(Path(sys.argv[0]).resolve().parent))
    runpy.run_path(sys.argv[0], run_name="__main__")
