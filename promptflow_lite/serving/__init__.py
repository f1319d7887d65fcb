"""Floor 5: a flow behind HTTP."""
