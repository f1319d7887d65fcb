"""How many answers are correct?"""

from promptflow_lite import log_metric, tool


@tool
def score(grades: list[str]) -> float:
    """The share of correct lines; `grades` holds one grade for each completed line."""
    accuracy = grades.count("correct") / len(grades) if grades else 0.0
    log_metric("accuracy", accuracy)
    return accuracy
