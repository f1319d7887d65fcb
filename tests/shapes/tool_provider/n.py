from promptflow.core import ToolProvider, tool


class Scale(ToolProvider):
    def __init__(self, factor: int, label: str = "times"):
        super().__init__()
        self.factor = factor
        self.label = label
        self.calls = 0

    @tool
    def scale(self, x: int) -> str:
        self.calls += 1
        return f"{self.calls}: {self.label} {self.factor} is {x * self.factor}"
