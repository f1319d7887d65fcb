"""Answers and references that metrics are checked on: English, Japanese, both, and the corners."""

from __future__ import annotations

ENGLISH = [
    ("The cat sat on the mat.", "The cat is sitting on the mat."),
    ("Replace the filter every six months.", "The filter must be replaced every 6 months."),
    ("It depends on how you look at it, of course.", "That depends on how one looks at it."),
    ("the the the the the the the", "The cat is on the mat"),
    (
        "Press and hold the power button for five seconds.",
        "Press and hold the power button for five seconds.",
    ),
    ("Call us.", "You can call our support line from nine to five on weekdays, except on public holidays."),
    ("Running runners run quickly through running water", "The runner runs through the quick water"),
    ("It's 3.5 kg (about 7.7 lb), isn't it?", "It is 3.5 kg, which is about 7.7 lb."),
    ("a b c d", "a b c d"),
    ("word", "other"),
    ("Delivery takes two to three days", "delivery takes 2-3 days"),
    ("No.", "Yes, within thirty days of purchase."),
]

JAPANESE = [
    ("フィルターは6か月ごとに交換してください。", "フィルターは６か月ごとに交換します。"),
    ("東京タワーの高さは333メートルです。", "東京タワーは高さ333mである。"),
    ("電源ボタンを5秒間押し続けます。", "電源ボタンを五秒ほど長押ししてください。"),
    ("返金は30日以内に可能です。", "ご購入から30日以内であれば返金できます。"),
    ("わかりません。", "日曜日は休業です。"),
    ("すもももももももものうち", "すももも桃も桃のうち"),
    ("送料は無料です。", "送料は無料です。"),
    ("ﾌｨﾙﾀｰを洗う", "フィルターを洗う"),
]

MIXED = [
    ("Wi-Fi のパスワードは設定アプリで変更できます。", "設定アプリから Wi-Fi パスワードを変更してください。"),
    ("Version 2.0 をインストール", "version 2.0をインストールする"),
    ("", ""),
    ("", "something"),
    ("何か", ""),
    ("!!!", "???"),
    ("  spaced   out  ", "spaced out"),
]

ALL = [*ENGLISH, *JAPANESE, *MIXED]
