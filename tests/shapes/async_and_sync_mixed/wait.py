import asyncio

from promptflow.core import tool


@tool
async def wait(x: int) -> int:
    await asyncio.sleep(0.001)
    return x + 1
