from promptflow.core import tool


@tool
def 整形(種類: str, 本文: str) -> str:
    return f"【{種類}】{本文}"
