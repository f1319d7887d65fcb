"""How good was it? Metrics, evaluators by name, and summaries of scores."""
