"""One browser for the tests of the page, and the flow that most of them look at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.page.browser import Browser, chat_flow, launched
from tests.serving.served import Served

HOSTILE = """\
<img src=x onerror="document.title='owned'"> <script>document.title='owned'</script>

[click](javascript:document.title='owned') [data](data:text/html,<script>1</script>)
<a href="javascript:1">a</a>

![pixel](https://stranger.example/pixel.png) ![x](javascript:1) [good](https://example.com/a_(b) "title")

<svg/onload=alert(1)> [`x`](  javascript:1) [1](https://example.com) <https://example.org/b>
"""
MARKDOWN = """\
# A heading

Text with **bold**, *slanted*, ~~gone~~, `code <b>` and snake_case_words.

- one
- two
  1. deep
- [x] done

| name | count |
|:-----|------:|
| a\\|b | 2 |

> quoted

```python
print("<b>")
```

***

2. second
3. third
"""


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Closed after the tests of this folder: Playwright keeps a loop running, which others must not find."""
    with launched() as running:
        yield running


@pytest.fixture
def chat(browser: Browser, tmp_path: Path) -> Iterator[Served]:
    """A served chat flow; `browser` comes first, so that nothing is served where there is none."""
    flow = chat_flow(tmp_path / "lamps", hostile=HOSTILE, markdown=MARKDOWN)
    with Served(flow) as served:
        yield served


@pytest.fixture
def chat_with_key(browser: Browser, tmp_path: Path) -> Iterator[Served]:
    """The same, where a key is asked for."""
    with Served(chat_flow(tmp_path / "lamps"), keys=("a-key-of-the-tests",)) as served:
        yield served
