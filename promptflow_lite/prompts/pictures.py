"""How do images that values hold get into a message? As marks in the rendered text, each with a nonce.

No text that a value holds can stand for an image.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from promptflow_lite.values import Image

__all__ = ["Images", "on_lines"]

_IMAGE_HOLE = re.compile(r"!\[\s*image\s*\]\((?P<hole>\{\{-?\s*[^{}]+?\s*-?\}\})\)")


def on_lines(source: str) -> str:
    """A template's source with each `![image]({{ x }})` as a hole alone on its line."""
    return _IMAGE_HOLE.sub(lambda m: f"\n{m['hole']}\n", source)


@dataclass(frozen=True)
class Images:
    """The images of one rendering, and their marks in the text: `<nonce:3>`."""

    nonce: str
    found: list[Image] = field(default_factory=list)

    def wrap(self, image: Image) -> str:
        """The mark of an image."""
        self.found.append(image)
        return f"<{self.nonce}:{len(self.found) - 1}>"

    def parts(self, text: str, detail: str) -> str | list[dict[str, Any]]:
        """A message's content: text and images line by line, where a line is an image; or the text as it is.

        An image amid a line of text is its name there, as in Prompt flow.
        """
        if self.nonce not in text:
            return text
        lines = [line for line in text.split("\n") if line.strip()]
        images = [self._alone(line.strip()) for line in lines]
        if not any(image is not None for image in images):
            return self._named(text)
        return [
            {"type": "text", "text": self._named(line)}
            if image is None
            else {"type": "image_url", "image_url": {"url": _address(image), "detail": detail}}
            for line, image in zip(lines, images, strict=True)
        ]

    def _alone(self, line: str) -> Image | None:
        match = re.fullmatch(rf"<{self.nonce}:(\d+)>", line)
        return self.found[int(match[1])] if match else None

    def _named(self, text: str) -> str:
        return re.sub(rf"<{self.nonce}:(\d+)>", lambda m: str(self.found[int(m[1])]), text)


def _address(image: Image) -> str:
    return image.source_url or image.to_base64(with_type=True)
