import sqlite3
from contextlib import closing
from pathlib import Path

from promptflow.core import tool

ASK = {
    "en": "Please tell me your order number. It begins with KZ and is in the confirmation e-mail.",
    "ja": "ご注文番号を教えてください。KZで始まる番号で、確認メールに書かれています。",
}
UNKNOWN = {
    "en": "I cannot find an order {number}. Please check the number in the confirmation e-mail.",
    "ja": "ご注文{number}は見つかりません。確認メールの番号をお確かめください。",
}
STATUS = {
    "en": {
        "preparing": "Order {number} ({item}) is being prepared and should arrive on {day}.",
        "shipped": "Order {number} ({item}) is on its way and should arrive on {day}.",
        "delivered": "Order {number} ({item}) was delivered on {day}.",
        "cancelled": "Order {number} ({item}) was cancelled on {day}.",
    },
    "ja": {
        "preparing": "ご注文{number}（{item}）は準備中で、{day}にお届けの予定です。",
        "shipped": "ご注文{number}（{item}）は配送中で、{day}にお届けの予定です。",
        "delivered": "ご注文{number}（{item}）は{day}にお届け済みです。",
        "cancelled": "ご注文{number}（{item}）は{day}にキャンセルされました。",
    },
}


def orders() -> sqlite3.Connection:
    """The table of orders in memory, read from orders.sql; nothing can be written to it afterwards."""
    database = sqlite3.connect(":memory:")
    database.executescript(Path(__file__).with_name("orders.sql").read_text(encoding="utf-8"))
    database.execute("pragma query_only = on")
    return database


@tool
def order(number: str, language: str) -> str:
    """What the table says about an order, in the language of the question."""
    if not number:
        return ASK[language]
    query = "select item_en, item_ja, status, day from orders where number = ?"
    with closing(orders()) as database:
        row = database.execute(query, (number,)).fetchone()
    if row is None:
        return UNKNOWN[language].format(number=number)
    item_en, item_ja, status, day = row
    item = item_ja if language == "ja" else item_en
    return STATUS[language][status].format(number=number, item=item, day=day)
