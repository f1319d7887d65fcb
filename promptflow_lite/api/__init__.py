"""The Python front door: `load_flow` and `test`, `run`, `evaluate`; sync over async."""
