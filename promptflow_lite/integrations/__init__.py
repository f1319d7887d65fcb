"""The porches: heavy packages, reached by entry point only."""
