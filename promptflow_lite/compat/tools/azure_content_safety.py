"""`promptflow.tools.azure_content_safety`: may a text pass? By Azure AI Content Safety."""

from __future__ import annotations

from enum import Enum
from typing import Any

from promptflow_lite.api.beside import wait_for
from promptflow_lite.compat._missing import names_of
from promptflow_lite.connections.kinds import AzureContentSafetyConnection
from promptflow_lite.tools.services import judge_text
from promptflow_lite.tools.tool import tool

__all__ = ["TextCategorySensitivity", "analyze_text"]


class TextCategorySensitivity(str, Enum):  # noqa: UP042  # Prompt flow's str() of a member is not its value
    """From which severity on a text is rejected: low 6, medium 4, high 2."""

    DISABLE = "disable"
    LOW_SENSITIVITY = "low_sensitivity"
    MEDIUM_SENSITIVITY = "medium_sensitivity"
    HIGH_SENSITIVITY = "high_sensitivity"


_MEDIUM = TextCategorySensitivity.MEDIUM_SENSITIVITY


@tool
def analyze_text(
    connection: AzureContentSafetyConnection,
    text: str,
    hate_category: TextCategorySensitivity = _MEDIUM,
    sexual_category: TextCategorySensitivity = _MEDIUM,
    self_harm_category: TextCategorySensitivity = _MEDIUM,
    violence_category: TextCategorySensitivity = _MEDIUM,
) -> dict[str, Any]:
    """`{"suggested_action": "Accept" or "Reject", "action_by_category": {...}}`."""
    asked = {
        "Hate": hate_category,
        "SelfHarm": self_harm_category,
        "Sexual": sexual_category,
        "Violence": violence_category,
    }
    sensitivity = {name: str(getattr(choice, "value", choice)) for name, choice in asked.items()}
    return wait_for(judge_text(connection, text, sensitivity))


__getattr__ = names_of("promptflow.tools.azure_content_safety")
