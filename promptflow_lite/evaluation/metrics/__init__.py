"""Pure metric functions, a module a family: `classification`, `text`."""
