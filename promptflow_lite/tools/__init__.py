"""How a node becomes a callable."""
