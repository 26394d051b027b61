"""Strings that typing implementations are known to get wrong."""

STRINGS = [
    "plain words, 123.45 + 6",
    "UPPER lower MiXeD",
    "<>&|;$\"'`\\",
    "!@#%^*()_+-=[]{}:,./?~",
    "naïve café, Ærøskøbing, Çelik",
    "Zażółć gęślą jaźń",
    "Příliš žluťoučký kůň",
    "ÄÖÜ äöü ß ẞ",
    "Привет, мир",
    "Ελληνικά",
    "שלום עולם",
    "مرحبا بالعالم",
    "你好，世界",
    "日本語のテキスト",
    "한국어 문장",
    "हिन्दी में",
    "ไทยแลนด์",
    "e\u0301 a\u0308 n\u0303 o\u0328\u0301",
    "😀🎉🚀",
    "👩\u200d💻 👍🏽 🇵🇱",
    "€£¥₿ ½ ± × ÷ ≠ ∞",
    "“quotes” ‘single’ – dash — long …",
    "one\ttab\tand\tmore",
    "first\nsecond\n\nfourth",
    ("The quick brown fox 敏捷的棕色狐狸 перепрыгнул <через> łazy 🐕 & 'q'; " * 9)[:500],
]
assert len(STRINGS) == 25
assert len(STRINGS[-1]) == 500
