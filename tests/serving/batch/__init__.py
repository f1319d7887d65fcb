"""Batch endpoints."""
