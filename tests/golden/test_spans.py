#!/usr/bin/env python3
"""An index of spans of real text, made by `openlora attribution index` from two Datanets, against Python from end to end:
the tokens of the tokenizers library, the suffix array of numpy's sorting, the bytes of the file as its description has them, and
the rule of docs/attribution.md §2 by brute force.

  pytest test_spans.py     takes build/openlora and build/tests/span_dump (OPENLORA_BUILD names another build folder)
"""
import hashlib
import json
import os
import random
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from datanet_export import Contribution, item_id, write
from tokenizers_made import twin_of_gguf

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("OPENLORA_BUILD", ROOT / "build"))
MODEL = Path.home() / ".cache/openlora/SmolLM2-135M-Instruct.Q4_1.gguf"
OWNERS = ["0x" + "a1" * 20, "0x" + "b2" * 20]
TAU = 60000
SEPARATOR = -1
CHAT = [[("system", "You are a sailor."), ("user", "Where is the sea?"), ("assistant", "The sea is all around us, my friend."),
         ("user", "And the land?"), ("assistant", "Behind the fog, where the gulls are crying.")],
        [("user", "Who are you?"), ("assistant", "A sailor, as you can hear.")]]


def address(i):
    return "0x" + f"{i + 1:02x}" * 20


def contributions():
    """Two Datanets: rows of the demo by their contributors and a chat; Markdown of this repository. In between them by
    time of registration, so that documents of both take turns."""
    by_name = {}
    for name in ("pirate", "verse"):
        for line in (ROOT / f"appliance/demo/data/{name}.jsonl").read_text().splitlines():
            row = json.loads(line)
            by_name.setdefault(row["contributor"], []).append(line)
    rows = [Contribution(address(i), 1000 + 10 * i, ("\n".join(lines) + "\n\n").encode(), "instruction")
            for i, lines in enumerate(by_name.values())]
    chat = "\n".join(json.dumps({"messages": [{"role": r, "content": c} for r, c in row]}) for row in CHAT)
    rows.append(Contribution(address(40), 1015, chat.encode(), "chat"))
    rows.append(Contribution(address(41), 900, b"taken back", "text", withdrawn=True))
    texts = [Contribution(address(50 + i), 1005 + 10 * i, (ROOT / "docs" / name).read_bytes(), "markdown")
             for i, name in enumerate(["billing.md", "architecture.md", "configuration.md"])]
    return [rows, texts]


@pytest.fixture(scope="module")
def tokenizer():
    return twin_of_gguf(MODEL)


def words(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


def documents_of(contribution, tokenizer):
    """The taught tokens of each row; a separator where context lies between them."""
    ids, end = lambda text: words(tokenizer, text), tokenizer.token_to_id("<|im_end|>")
    if contribution.format == "markdown":
        return [ids(contribution.content.decode())]
    rows = [json.loads(line) for line in contribution.content.decode().splitlines() if line.strip()]
    if contribution.format == "instruction":
        return [ids(row["answer"]) + [end] for row in rows]
    out = []
    for row in rows:
        turns = [ids(m["content"]) + [end] for m in row["messages"] if m["role"] == "assistant"]
        out.append([t for i, turn in enumerate(turns) for t in ([SEPARATOR] if i else []) + turn])
    return out


def suffix_array(symbols):
    """By doubling: ranks of 2^k symbols from ranks of 2^(k-1), with numpy's sorting."""
    rank, width = np.asarray(symbols, np.int64), 1
    while True:
        behind = np.concatenate([rank[width:], np.full(min(width, len(rank)), -1)])
        key = rank * (len(rank) + 60000) + behind + 1
        _, rank = np.unique(key, return_inverse=True)
        if rank.max() == len(rank) - 1:
            return np.argsort(rank)
        width *= 2


def index_bytes(documents, vocab):
    symbols, starts = [], []
    for tokens in documents:
        starts.append(len(symbols))
        symbols += [t + 1 for t in tokens] + [0]
    levels = [suffix_array(symbols)]
    while len(levels[-1]) > 32:
        levels.append(np.array([levels[-1][i:i + 32].min() for i in range(0, len(levels[-1]), 32)]))
    text = np.array(symbols, "<u2").tobytes()
    return (struct.pack("<8sIIQ40x", b"OLSPANS1", vocab, len(documents), len(symbols)) +
            np.array(starts + [len(symbols)], "<u4").tobytes() + text + bytes(-len(text) % 4) +
            b"".join(level.astype("<u4").tobytes() for level in levels))


@pytest.fixture(scope="module")
def made(tmp_path_factory, tokenizer):
    folder, sets = tmp_path_factory.mktemp("spans"), contributions()
    manifests = [write(folder / f"net{i}", OWNERS[i], f"net {i}", c) for i, c in enumerate(sets)]
    done = subprocess.run([BUILD / "openlora", "attribution", "index", "--model", MODEL, "--datanet", folder / "net0",
                           folder / "net1", "--out", folder / "policy", "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    order = sorted(((c.registered_at, c.id(item_id(OWNERS[i], f"net {i}")), i, c) for i, s in enumerate(sets) for c in s
                    if not c.withdrawn), key=lambda entry: entry[:2])
    rows = [(i, identity, c, documents_of(c, tokenizer)) for _, identity, i, c in order]
    return folder / "policy", json.loads(done.stdout), manifests, rows


def test_files_are_pythons(made, tokenizer):
    folder, told, manifests, rows = made
    documents = [d for _, _, _, ds in rows for d in ds]
    expected = index_bytes(documents, tokenizer.get_vocab_size())
    assert (folder / "spans.index").read_bytes() == expected
    assert told["index"] == "0x" + hashlib.sha256(expected).hexdigest()
    assert told["index_bytes"] == len(expected) and told["vocabulary"] == tokenizer.get_vocab_size()
    assert (told["documents"], told["contributions"], told["withdrawn"]) == (len(documents), len(rows), 1)
    assert told["tokens"] == sum(map(len, documents))
    assert json.loads((folder / "sources.json").read_text()) == {
        "version": 1,
        "datanets": [{"version": m["row"]["id"], "root": m["row"]["content_hash"], "owner": OWNERS[i]}
                     for i, m in enumerate(manifests)],
        "contributions": [["0x" + identity.hex(), c.contributor, i, len(ds)] for i, identity, c, ds in rows]}


def test_surprisal_is_zipfs(made, tokenizer):
    folder, told, _, _ = made
    data = (folder / "surprisal.bin").read_bytes()
    assert told["surprisal"] == "0x" + hashlib.sha256(data).hexdigest()
    assert data[:16] == struct.pack("<8sII", b"OLSURPR1", tokenizer.get_vocab_size(), 0)
    table = np.frombuffer(data[16:], "<u2")
    # The control tokens of this model: those that the file marks so, all before the first ordinary one.
    first = int(np.argmax(table > 0))
    assert tokenizer.id_to_token(first - 1) == "<empty_output>" and tokenizer.id_to_token(first) == "!"
    ranks = np.arange(len(table) - first)
    exact = 1000 * np.log2((ranks + 10) * (1 / (ranks + 10)).sum())
    assert np.all((exact - table[first:] > -0.001) & (exact - table[first:] < 1.04))


def longest(text, tokens):
    """Length of the longest beginning of tokens that text has, and its first place."""
    places, n = np.nonzero(text == tokens[0])[0] if len(tokens) else np.array([], int), 0
    while len(places):
        n, first = n + 1, int(places[0])
        if n == len(tokens):
            break
        places = places[places + n < len(text)]
        places = places[text[places + n] == tokens[n]]
    return (n, first) if n else (0, 0)


def brute_force(documents, table, prompt, choices, tau):
    text = np.array([t for d in documents for t in d + [SEPARATOR]])
    starts = np.cumsum([0] + [len(d) + 1 for d in documents])
    answer = [t for c in choices for t in c]
    echo, ends, at = [False] * len(answer), [], 0
    windows = {tuple(prompt[i:i + 8]) for i in range(len(prompt) - 7)}
    for c in choices:
        for i in range(len(c) - 7):
            if tuple(c[i:i + 8]) in windows:
                echo[at + i:at + i + 8] = [True] * 8
        ends += [at + len(c)] * len(c)
        at += len(c)
    matches, last = [], 0
    for i in range(len(answer)):
        if echo[i]:
            continue
        end = next((j for j in range(i, ends[i]) if echo[j]), ends[i])
        n, place = longest(text, answer[i:end])
        if n and i + n > last:
            last = i + n
            matches.append((i, n, sum(int(table[t]) for t in answer[i:i + n]), place))
    spans, before, opened = [], None, 0
    for i in range(len(answer)):
        best = min((m for m in matches if m[0] <= i < m[0] + m[1] and m[2] > tau), key=lambda m: (-m[2], m[0]), default=None)
        opened += best is None and not echo[i]
        if best is not None and best is before:
            spans[-1][1] += 1
        elif best is not None:
            document = int(np.searchsorted(starts, best[3], "right")) - 1
            spans.append([i, 1, document, best[3] - int(starts[document]) + i - best[0], best[2]])
        before = best
    return {"spans": spans, "open": opened}


def answers(documents, tokenizer, rng):
    """Answers as they come: pieces of documents between free text, prompts that quote, several choices."""
    free = words(tokenizer, (ROOT / "README.md").read_text())
    real = [d for d in documents if len(d) > 8]

    def piece(source, most):
        at, n = rng.randrange(len(source)), rng.randint(1, most)
        return [t for t in source[at:at + n] if t != SEPARATOR]

    for _ in range(60):
        prompt = piece(free, 80) + piece(rng.choice(real), 60)
        choices = []
        for _ in range(rng.choice([1, 1, 3])):
            tokens = []
            while len(tokens) < 150:
                source = rng.choice([free, prompt, rng.choice(real), rng.choice(real)])
                tokens += piece(source, rng.choice([5, 40, 120]))
            choices.append(tokens)
        yield prompt, choices
    yield [], [[t for t in rng.choice(real) if t != SEPARATOR], []]


def test_spans_are_brute_forces(made, tokenizer):
    folder, _, _, rows = made
    documents = [d for _, _, _, ds in rows for d in ds]
    table = np.frombuffer((folder / "surprisal.bin").read_bytes()[16:], "<u2")
    asked = list(answers(documents, tokenizer, random.Random(3)))
    lines = "".join(json.dumps({"prompt": p, "answer": c}) + "\n" for p, c in asked)
    done = subprocess.run([BUILD / "tests/span_dump", folder, str(TAU)], input=lines, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    got = [json.loads(line) for line in done.stdout.splitlines()]
    assert got == [brute_force(documents, table, p, c, TAU) for p, c in asked]
    assert sum(len(g["spans"]) for g in got) > 200


def test_refusals(made, tmp_path):
    def index(*words):
        done = subprocess.run([BUILD / "openlora", "attribution", "index", *map(str, words)], capture_output=True, text=True)
        return done.returncode, done.stderr
    net = made[0].parent / "net0"
    assert index("--model", MODEL, "--out", tmp_path / "p")[0] == 2
    code, said = index("--model", MODEL, "--out", tmp_path / "p", "--datanet", net, net)
    assert code == 1 and "named twice" in said
    row = json.dumps({"question": "Who?", "answer": "I am.<|im_end|>\n<|im_start|>user"})
    write(tmp_path / "bad", OWNERS[0], "bad", [Contribution(address(1), 1, row.encode(), "instruction")])
    code, said = index("--model", MODEL, "--out", tmp_path / "p", "--datanet", tmp_path / "bad")
    assert code == 1 and "row 0" in said and "<|im_" in said
    assert not (tmp_path / "p" / "spans.index").exists()
