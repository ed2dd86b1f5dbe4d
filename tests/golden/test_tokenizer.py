#!/usr/bin/env python3
"""Token ids against the `tokenizers` library: the default model's tokenizer on 12,000 texts, and a small one of every
supported kind, read from tokenizer.json and from GGUF, on 4,000 texts each. Also: texts whose special tokens are plain
text, detokenization, and time linear in the text.

  pytest test_tokenizer.py    takes build/tests/tokenize_dump (OPENLORA_BUILD names another build folder)
"""
import os
import pathlib
import random
import struct
import subprocess

import pytest
from tokenizers import AddedToken, Regex
from tokenizers import pre_tokenizers as pre

from texts import texts
from tokenizers_made import CONTROL, KINDS, make, twin_of_gguf, write_directory, write_gguf

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("OPENLORA_BUILD", HERE.parents[1] / "build"))
DEFAULT_MODEL = pathlib.Path.home() / ".cache/openlora/SmolLM2-135M-Instruct.Q4_1.gguf"


class Ours:
    """One process of tests/tools/tokenize_dump.c, asked through pipes."""

    def __init__(self, path):
        self.process = subprocess.Popen([str(BUILD / "tests/tokenize_dump"), str(path)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def ask(self, kind, data, size):
        self.process.stdin.write(kind + struct.pack("<I", len(data)) + data)
        self.process.stdin.flush()
        count, = struct.unpack("<I", self.process.stdout.read(4))
        return self.process.stdout.read(count * size)

    @staticmethod
    def ids_of(answer):
        return list(struct.unpack(f"<{len(answer) // 4}i", answer))

    def encode(self, data, special=True):
        return self.ids_of(self.ask(b"s" if special else b"p", data, 4))

    def decode(self, ids):
        return self.ask(b"d", struct.pack(f"<{len(ids)}i", *ids), 1).decode()

    def facts(self):
        bos, eos, adds_bos, vocab, *ends = self.ids_of(self.ask(b"m", b"", 4))
        return {"bos": bos, "eos": eos, "adds_bos": bool(adds_bos), "vocab": vocab, "ends": set(ends)}

    def processor_s(self):
        """What it has used so far, however busy the machine is."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        self.process.stdin.close()
        assert self.process.wait() == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """name: (theirs, path of the directory, path of the GGUF file)"""
    folder = tmp_path_factory.mktemp("tokenizers")
    out = {}
    for number, name in enumerate(KINDS):
        t = make(name)
        write_directory(t, folder / name, pairs=number % 2 == 0)
        write_gguf(t, name, folder / f"{name}.gguf")
        out[name] = (t, folder / name, folder / f"{name}.gguf")
    return out


def compare(ours, theirs, count, seed):
    for data in texts(count, seed):
        text = data.decode(errors="replace")
        expected = theirs.encode(text, add_special_tokens=False).ids
        got = ours.encode(data)
        assert got == expected, f"{text!r}: {[theirs.id_to_token(i) for i in got]}, not {[theirs.id_to_token(i) for i in expected]}"
        assert ours.decode(got) == theirs.decode(got, skip_special_tokens=False), repr(text)


def compare_plain(ours, theirs, count, seed):
    theirs.encode_special_tokens = True
    for data in texts(count, seed):
        text = data.decode(errors="replace")
        assert ours.encode(data, special=False) == theirs.encode(text, add_special_tokens=False).ids, repr(text)
    theirs.encode_special_tokens = False


def test_default_model():
    ours, theirs = Ours(DEFAULT_MODEL), twin_of_gguf(DEFAULT_MODEL)
    compare(ours, theirs, 12000, 1)
    compare_plain(ours, theirs, 1000, 2)
    assert ours.facts() == {"bos": 1, "eos": 2, "adds_bos": False, "vocab": 49152, "ends": {0, 2}}
    ours.close()


@pytest.mark.parametrize("form", ["tokenizer.json", "GGUF"])
@pytest.mark.parametrize("name", list(KINDS))
def test_kind(made, name, form):
    theirs, directory, gguf_path = made[name]
    ours = Ours(directory if form == "tokenizer.json" else gguf_path)
    compare(ours, theirs, 4000, 3)
    compare_plain(ours, theirs, 500, 4)
    ours.close()


@pytest.mark.parametrize("form", ["tokenizer.json", "GGUF"])
@pytest.mark.parametrize("name", list(KINDS))
def test_facts(made, name, form):
    theirs, directory, gguf_path = made[name]
    ours = Ours(directory if form == "tokenizer.json" else gguf_path)
    facts = ours.facts()
    ids = [theirs.token_to_id(token) for token in CONTROL]
    assert (facts["bos"], facts["eos"], facts["adds_bos"]) == (ids[0], ids[2], KINDS[name][4])
    assert facts["ends"] == ({ids[0], ids[2], ids[4]} if form == "tokenizer.json" else {ids[0], ids[2]})
    ours.close()


def test_random_bytes_detokenize_like_lossy_utf8(made):
    """Any order of single-byte tokens: what comes out piece by piece is what decoding all at once gives."""
    r = random.Random(5)
    theirs, directory, _ = made["gpt2"]
    ours = Ours(directory)
    for _ in range(2000):
        ids = [r.randrange(300) for _ in range(r.randrange(1, 12))]
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=False), ids
    ours.close()


FLAGS = [("<l>", {"lstrip": True}), ("<r>", {"rstrip": True}), ("<lr>", {"lstrip": True, "rstrip": True}),
         ("word", {"single_word": True}), ("CAPS", {"normalized": True}), ("caf\u00e9", {"normalized": True}),
         ("nai\u0308ve", {"normalized": True})]


@pytest.mark.parametrize("name", ["gpt2", "qwen2"])
def test_flags_of_added_tokens(tmp_path, name):
    theirs = make(name)
    for content, flags in FLAGS:
        theirs.add_tokens([AddedToken(content, **{"normalized": False, "special": False, **flags})])
    write_directory(theirs, tmp_path / name)
    ours = Ours(tmp_path / name)
    r = random.Random(6)
    parts = [content for content, _ in FLAGS] + [" ", "  ", "\n", "\u3000", "a", "x_", "sword", "words", "é", "-", "cafe\u0301", "1",
                                                 "na\u00efve", "\u0301", "日"]
    for _ in range(3000):
        text = "".join(r.choice(parts) for _ in range(r.randrange(1, 9)))
        assert ours.encode(text.encode()) == theirs.encode(text, add_special_tokens=False).ids, repr(text)
    ours.close()


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("behaviour", ["isolated", "removed", "contiguous", "merged_with_previous", "merged_with_next"])
@pytest.mark.parametrize("pattern", [Regex(r"\s"), Regex(r"\p{L}+|\d"), Regex(r"[^\s\w]"), "a.b", " "])
def test_split_behaviours(tmp_path, pattern, behaviour, invert):
    theirs = make("gpt2")
    theirs.pre_tokenizer = pre.Sequence([pre.Split(pattern, behaviour, invert), pre.Digits(individual_digits=False),
                                         pre.ByteLevel(add_prefix_space=False, use_regex=False)])
    write_directory(theirs, tmp_path / "t")
    ours = Ours(tmp_path / "t")
    for data in texts(400, 7):
        text = data.decode(errors="replace") + " a.b a.ba.b  12"
        assert ours.encode(text.encode()) == theirs.encode(text, add_special_tokens=False).ids, repr(text)
    ours.close()


LONG = {"one word": b"a", "spaces": b" ", "line ends": b"\n", "capitals": b"A", "digits": b"7", "Chinese": "日".encode(),
        "marks": "\u0301\u0316".encode(), "prose": b"It is what it is, isn't it? 42 \n", "broken": b"\xe2\x82", "brackets": b"<|im_"}


@pytest.mark.parametrize("name", ["llama3", "qwen2", "smollm", "tekken"])
def test_time_is_about_linear(made, name):
    """2 MB of anything a client can think of takes at most a few seconds, and not 16 times as long as 250 kB does."""
    ours = Ours(made[name][1])
    for what, unit in LONG.items():
        seconds = []
        for size in (250_000, 2_000_000):
            start = ours.processor_s()
            ours.encode(unit * (size // len(unit)))
            seconds.append(ours.processor_s() - start)
        assert seconds[1] < 16 * seconds[0] + 1, f"{what}: {seconds}"
        assert seconds[1] < 10, f"{what}: {seconds}"
    ours.close()


if __name__ == "__main__":
    raise SystemExit(pytest.main(["-q", __file__]))
