"""The tests of promptflow_lite."""
