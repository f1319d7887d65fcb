from promptflow.core import tool


@tool
def n(x: int):
    async def later() -> int:
        return x + 1

    return later()
