import asyncio

from promptflow.core import tool


@tool
async def pick(words: list, at: int) -> str:
    await asyncio.sleep(0.01 * (4 - at))  # the last one asked for is the first one done
    return words[at]
