"""A flow as a model of MLflow: packed, registered, loaded as a pyfunc, and fetched for a deployment."""
