"""Texts for the tokenizer tests: mixed scripts, emoji, code, numbers, white space, special tokens, broken UTF-8."""
import random

SCRIPTS = [(0x20, 0x7f), (0xa0, 0x180), (0x370, 0x530), (0x590, 0x700), (0x900, 0xa00), (0xe00, 0xe80), (0x1100, 0x1200),
           (0x1e00, 0x2000), (0x2000, 0x2070), (0x20a0, 0x2200), (0x2460, 0x2500), (0x3000, 0x3100), (0x4e00, 0x9fa5),
           (0xac00, 0xd7a4), (0xf900, 0xfb00), (0xfe00, 0xfe10), (0xff00, 0xfff0), (0x10000, 0x10100), (0x1d400, 0x1d800),
           (0x1f300, 0x1f700), (0x1f900, 0x1fa00), (0x20000, 0x20100), (0x0, 0x20), (0x7f, 0xa0)]
WORDS = ("the The THE don't DON'T I'm we'll they've it's it'S 'S 's l'été don’t river naïve žlutý привет мир καλημέρα "
         "你好 世界 こんにちは 안녕 مرحبا नमस्ते สวัสดี שלום Straße ŒUVRE ǅ iPhone camelCase snake_case HTTPServer x² ½ Ⅷ "
         "٣٤ 1 12 123 1234 12345 3.14 1,000 0x1F v2.0 $5 20% #tag @user a@b.c https://x.y/z?q=1&r=2 C:\\dir\\f.txt "
         "<b> </b> {} [] () => -> != == && || // /* */ ... !!! ?! — … “q” «q» ' \" ` ~ ^ _ __init__ s t re ve m ll d").split()
EMOJI = ["🙂", "👨‍👩‍👧‍👦", "👍🏽", "🇨🇭", "❤️", "☺", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "1️⃣"]
MARKS = ["e\u0301", "\u0301", "a\u0323\u0307", "a\u0307\u0323", "\u1100\u1161\u11a8", "\uac00\u11a8", "क\u094dष", "Å", "\u212b",
         "ﬁ", "\u0344", "\u0958", "n\u0303\u0331", "\u05d9\u05b4\u05c4"]
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\r", "\n\n", " \n", "\n ", "\u00a0", "\u3000", "\u2003", "\u200b", "\u180e", "\x85",
          "\u2028", "\ufeff", "\x0b", "\x0c", " \t \n\n  ", "\x1c"]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im|>", "<|im_", "<|", "<s>", "<tool>", "<think>", "<thi", "  \t", "é🙂", "|>",
           "<|im_start|", "<<|im_end|>>"]
CODE = """def f(x):\n    if x > 10:\n\treturn [i**2 for i in range(x)]  # squares\r\n    return {"a": None, 'b': f"{x!r:>10}"}\n
#include <stdio.h>\nint main(void)\n{\n    printf("%d\\n", 1 << 3);\n}\n<div class="a">&nbsp;</div>\nSELECT * FROM t WHERE a='b';"""


def pieces(r):
    kind = r.random()
    if kind < 0.35:
        return r.choice(WORDS)
    if kind < 0.6:
        return r.choice(SPACES)
    if kind < 0.7:
        low, high = r.choice(SCRIPTS)
        return "".join(chr(r.randrange(low, high)) for _ in range(r.randrange(1, 6)))
    if kind < 0.76:
        return r.choice(EMOJI)
    if kind < 0.82:
        return r.choice(MARKS)
    if kind < 0.88:
        return r.choice(SPECIAL)
    if kind < 0.93:
        start = r.randrange(len(CODE))
        return CODE[start:start + r.randrange(1, 40)]
    if kind < 0.97:
        return str(r.randrange(10 ** r.randrange(1, 12)))
    return r.choice("aA ()é日\n") * r.randrange(1, 60)


def texts(count, seed):
    """`count` texts, as bytes; one in ten of them is broken UTF-8."""
    r = random.Random(seed)
    fixed = [""] + WORDS + EMOJI + MARKS + SPACES + SPECIAL + [CODE]
    for i in range(count):
        text = fixed[i] if i < len(fixed) else "".join(pieces(r) for _ in range(r.randrange(1, 14)))
        data = bytearray(text.encode())
        if i % 10 == 9 and data:
            for _ in range(r.randrange(1, 4)):
                at = r.randrange(len(data))
                data[at:at + r.randrange(2)] = bytes(r.choice([0x80, 0xbf, 0xc0, 0xc3, 0xe0, 0xe2, 0xed, 0xf0, 0xf4, 0xff])
                                                     for _ in range(r.randrange(1, 4)))
        yield bytes(data)
