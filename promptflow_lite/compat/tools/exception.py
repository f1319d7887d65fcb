"""`promptflow.tools.exception`: what code that asks a model catches."""

from promptflow_lite.compat._missing import names_of
from promptflow_lite.errors import NodeError
from promptflow_lite.tools.failure import ModelError

__all__ = [
    "AzureContentSafetySystemError",
    "ChatAPIInvalidRole",
    "ExceedMaxRetryTimes",
    "JinjaTemplateError",
    "LLMError",
    "SerpAPISystemError",
    "SerpAPIUserError",
    "ToolValidationError",
    "WrappedOpenAIError",
]

WrappedOpenAIError = LLMError = ExceedMaxRetryTimes = ModelError
SerpAPIUserError = SerpAPISystemError = AzureContentSafetySystemError = ModelError
ToolValidationError = ChatAPIInvalidRole = JinjaTemplateError = NodeError

__getattr__ = names_of("promptflow.tools.exception")
