"""Pure metric functions, a module a family: `classification`, `text`, `ranking`, `retrieval`, `citations`."""
