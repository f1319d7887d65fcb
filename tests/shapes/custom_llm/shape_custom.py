from promptflow.contracts.types import PromptTemplate
from promptflow.core import tool


@tool
def say(prompt: PromptTemplate, loud: bool = False, **kwargs) -> str:
    return f"{prompt.strip().upper() if loud else prompt} / {kwargs}"
