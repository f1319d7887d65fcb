import json

from promptflow.core import tool

INTENTS = ("product_question", "order_status", "human_agent")


@tool
def route(answer: str, order_number: str) -> str:
    """The branch to take. Who names an order wants to know about it; what cannot be read goes to a person."""
    if order_number:
        return "order_status"
    try:
        intent = json.loads(answer)["intent"]
    except (ValueError, TypeError, KeyError):
        return "human_agent"
    return intent if intent in INTENTS else "human_agent"
