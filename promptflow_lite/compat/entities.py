"""`promptflow.entities`: connections, `Run`, `FlowContext`, and what tools tell editors of their inputs."""

from promptflow_lite.compat._missing import names_of
from promptflow_lite.compat.connections import (
    AzureContentSafetyConnection,
    AzureOpenAIConnection,
    CognitiveSearchConnection,
    CustomConnection,
    CustomStrongTypeConnection,
    FormRecognizerConnection,
    OpenAIConnection,
    QdrantConnection,
    SerpConnection,
    ServerlessConnection,
    WeaviateConnection,
)
from promptflow_lite.tools.settings import DynamicList, GeneratedBy, InputSetting

__all__ = [
    "AzureContentSafetyConnection",
    "AzureOpenAIConnection",
    "CognitiveSearchConnection",
    "CustomConnection",
    "CustomStrongTypeConnection",
    "DynamicList",
    "FormRecognizerConnection",
    "GeneratedBy",
    "InputSetting",
    "OpenAIConnection",
    "QdrantConnection",
    "SerpConnection",
    "ServerlessConnection",
    "WeaviateConnection",
]

__getattr__ = names_of(
    "promptflow.entities",
    {
        "FlowContext": "promptflow_lite.compat.context:FlowContext",
        "Run": "promptflow_lite.compat.run:Run",
        "ValidationResult": "promptflow_lite.compat.operations.flows:ValidationResult",
    },
)
