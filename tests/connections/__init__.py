"""Tests of promptflow_lite.connections."""
