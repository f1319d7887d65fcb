"""Many lines, kept: batches and what came of them."""
