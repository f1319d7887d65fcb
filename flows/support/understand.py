import re
import unicodedata

from promptflow.core import tool

ORDER_NUMBER = re.compile(r"\bKZ[\s-]*(\d{5})(?!\d)", re.IGNORECASE | re.ASCII)
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
FOLLOW_UP = re.compile(
    r"(and|but|so|then|what about|how about|it|that|では|じゃあ|それ|その|あと)", re.IGNORECASE
)


@tool
def understand(question: str, chat_history: list) -> dict:
    """The text to search with, the language to answer in, and the order number if one is named.

    Full-width letters and digits (ＫＺ－１０４９０) are read as the plain ones.
    """
    plain = unicodedata.normalize("NFKC", question).strip()
    number = ORDER_NUMBER.search(plain.replace("\u2212", "-"))
    return {
        "query": f"{previous_question(chat_history)} {plain}" if is_follow_up(plain, chat_history) else plain,
        "language": "ja" if JAPANESE.search(plain) else "en",
        "order_number": f"KZ-{number.group(1)}" if number else "",
    }


def is_follow_up(question: str, chat_history: list) -> bool:
    """Whether the question leans on the one before it: it is very short, or starts like a continuation."""
    if not chat_history:
        return False
    words = len(question) / 2 if JAPANESE.search(question) else len(question.split())
    return words <= 5 or FOLLOW_UP.match(question) is not None


def previous_question(chat_history: list) -> str:
    return unicodedata.normalize("NFKC", str(chat_history[-1]["inputs"]["question"]))
