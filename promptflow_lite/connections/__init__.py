"""Endpoints and secrets, by name."""
