"""A flow that leaves home: a folder to make an image of, with all that serving it needs and no more."""
