"""One line: which node next, calling it, and what came of it."""
