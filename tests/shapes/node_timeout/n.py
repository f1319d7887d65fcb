import asyncio

from promptflow.core import tool


@tool
async def n(wait: float) -> str:
    if wait < 0:
        raise TimeoutError("of its own")
    await asyncio.sleep(wait)
    return "in time"
