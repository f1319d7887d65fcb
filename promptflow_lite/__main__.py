"""`python -m promptflow_lite` is `pf`."""

from promptflow_lite.cli.main import main

if __name__ == "__main__":
    main()
