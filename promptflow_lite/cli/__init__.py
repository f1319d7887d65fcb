"""The command line: a file a command group, one error boundary in `main`."""
