"""Batch endpoints: a flow over a data file, asked for over HTTP or by a command, as a job."""
