import asyncio

from promptflow.core import tool


@tool
async def aleave(how: str) -> str:
    if how == "async exit":
        raise SystemExit(4)
    if how == "async cancel":
        raise asyncio.CancelledError
    return how
