"""Endpoints of several deployments: their files, their state, their processes, and the split among them."""
