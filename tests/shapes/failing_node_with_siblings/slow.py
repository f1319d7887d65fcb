import asyncio

from promptflow.core import tool


@tool
async def slow(x: int) -> int:
    await asyncio.sleep(30 if x == 0 else 0)
    return x
