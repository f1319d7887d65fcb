"""What a flow says: pure data. Floor 1; no loop, no network, no user code."""
