"""Text with holes, and the chat messages it makes. Floor 1."""
