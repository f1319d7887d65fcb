import json
from pathlib import Path

from promptflow.core import tool

MEANINGS = json.loads(Path(__file__).with_name("intents.json").read_text(encoding="utf-8"))


@tool
def intents() -> dict:
    """What each intent means, and the response format that allows just these."""
    schema = {
        "type": "object",
        "properties": {"intent": {"type": "string", "enum": list(MEANINGS)}},
        "required": ["intent"],
        "additionalProperties": False,
    }
    json_schema = {"name": "intent", "strict": True, "schema": schema}
    return {"meanings": MEANINGS, "response_format": {"type": "json_schema", "json_schema": json_schema}}
