import os

from promptflow.core import tool

AT_IMPORT = os.environ["SHAPE_TEXT"]


@tool
def n() -> list:
    return [AT_IMPORT, os.environ["SHAPE_NUMBER"], os.environ["SHAPE_LIST"]]
