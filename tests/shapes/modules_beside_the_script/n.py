from pathlib import Path

from promptflow.core import tool
from shape_constants import FACTOR

TEXT = Path("note.txt").read_text(encoding="utf-8").strip()


@tool
def n(x: int) -> str:
    from shape_later import OFFSET

    return f"{x * FACTOR + OFFSET} {TEXT} {Path('note.txt').read_text(encoding='utf-8').strip()}"
