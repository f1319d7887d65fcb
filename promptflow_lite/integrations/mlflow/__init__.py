"""What does MLflow know of our runs? A tracker: runs, metrics, tables, traces, scores; and its prompts."""

from promptflow_lite.integrations.mlflow.tracker import MlflowTracker

__all__ = ["MlflowTracker"]
