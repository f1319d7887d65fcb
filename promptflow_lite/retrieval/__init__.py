"""Documents, kept and found."""
