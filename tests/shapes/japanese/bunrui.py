from promptflow.core import tool


@tool
def 分類(本文: str) -> dict:
    return {"種類": "注文" if "注文" in 本文 else "商品"}
