"""Attacks on spans: the demo's rows as Datanets, answers that quote, vary and only resemble them, and the rule of
docs/attribution.md §2 once by the programs and once here, where each of its parts can be switched off."""
import json
import os
import random
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/golden"))
from datanet_export import Contribution, write  # noqa: E402
from tokenizers_made import twin_of_gguf  # noqa: E402

BUILD = Path(os.environ.get("OPENLORA_BUILD", ROOT / "build"))
MODEL = Path.home() / ".cache/openlora/SmolLM2-135M-Instruct.Q4_1.gguf"
TAU = json.loads((ROOT / "appliance/demo/attribution/pirate/calibration.json").read_text())["tau_millibits"]
OWNER = "0x" + "0f" * 20
ATTACKER = "attacker"
SEPARATOR = -1


@dataclass
class Source:  # what one contributor registered at one time in one Datanet
    owner: str
    time: int
    rows: list
    datanet: str


@dataclass
class Answer:
    tokens: list
    prompt: list = field(default_factory=list)
    payer: str = ""
    made_of: str = ""  # verbatim, varied, held_out


@dataclass
class Rules:
    tau: int = TAU
    earliest: bool = True  # off: all holders of a match share its tokens
    echo: bool = True
    payer_earns_nothing: bool = True


class Tokens:
    def __init__(self):
        self.of = twin_of_gguf(MODEL)
        self.end = self.of.token_to_id("<|im_end|>")
        self.known = {}

    def __call__(self, text):
        if text not in self.known:
            self.known[text] = self.of.encode(text, add_special_tokens=False).ids
        return self.known[text]


def demo_rows():
    """{Datanet: {contributor: [answers]}}"""
    out = {}
    for name in ("pirate", "verse"):
        for line in (ROOT / f"appliance/demo/data/{name}.jsonl").read_text().splitlines():
            row = json.loads(line)
            out.setdefault(name, {}).setdefault(row["contributor"], []).append(row["answer"])
    return out


def swap_words(text, chance, rng, vocabulary):
    return " ".join(rng.choice(vocabulary) if rng.random() < chance else w for w in text.split(" "))


def world(seed, held_out=5):
    """Sources, and the rows that were kept out of them: {owner: rows}."""
    rng, sources, kept = random.Random(seed), [], {}
    for datanet, people in demo_rows().items():
        for owner, rows in people.items():
            rows = rng.sample(rows, len(rows))
            kept[owner] = rows[:held_out]
            sources.append(Source(owner, 1000 + 10 * len(sources), rows[held_out:], datanet))
    return sources, kept


def free_text():
    """Paragraphs that owe nothing to the rows: the licence's."""
    return [" ".join(p.split()) for p in (ROOT / "LICENSE").read_text().split("\n\n")]


def answers(sources, kept, tokens, seed, each=5):
    """Per contributor `each` quotations amid other text, rows with every seventh word another, rows kept out."""
    rng, out = random.Random(seed + 1000), []
    free = [t for t in free_text()[1::3] if len(tokens(t)) > 40]  # flooders and null answers have the rest
    vocabulary = [w for s in sources for row in s.rows for w in row.split()]
    for s in sources:
        for row in rng.sample(s.rows, each):
            ids, about = tokens(row), tokens(rng.choice(free))
            at = rng.randrange(len(ids) // 2)
            out.append(Answer(about[:15] + ids[at:at + rng.randint(12, 40)] + about[15:30], made_of="verbatim"))
        out += [Answer(tokens(swap_words(row, 1 / 7, rng, vocabulary)), made_of="varied")
                for row in rng.sample(s.rows, each)]
        out += [Answer(tokens(row), made_of="held_out") for row in kept[s.owner][:each]]
    return out


# ---- by the programs

def address(name):
    return "0x" + (name.encode().hex() + "00" * 20)[:40]


def make_index(sources, folder):
    nets = {}
    for s in sources:
        content = "\n".join(json.dumps({"question": "What?", "answer": row}) for row in s.rows)
        nets.setdefault(s.datanet, []).append(Contribution(address(s.owner), s.time, content.encode(), "instruction"))
    for name, contributions in nets.items():
        write(folder / name, OWNER, name, contributions)
    done = subprocess.run([BUILD / "openlora", "attribution", "index", "--model", MODEL, "--out", folder / "policy",
                           "--datanet", *(folder / name for name in nets)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return folder / "policy"


def by_program(policy, asked, tau=TAU):
    """Per answer {owner's address: share of the tokens}; the payer's own is nobody's."""
    lines = "".join(json.dumps({"prompt": a.prompt, "answer": [a.tokens]}) + "\n" for a in asked)
    done = subprocess.run([BUILD / "tests/span_dump", policy, str(tau)], input=lines, capture_output=True, text=True,
                          check=True)
    owners = [c[1] for c in json.loads((policy / "sources.json").read_text())["contributions"] for _ in range(c[3])]
    out = []
    for a, line in zip(asked, done.stdout.splitlines()):
        share = Counter()
        for _, n, document, _, _ in json.loads(line)["spans"]:
            if owners[document] != address(a.payer):
                share[owners[document]] += n / len(a.tokens)
        out.append(share)
    return out


# ---- the rule here, with switches

class Engine:
    def __init__(self, sources, tokens, table):
        self.table, text, self.document, self.owners = table, [], [], []
        for s in sorted(sources, key=lambda s: s.time):
            for row in s.rows:
                ids = tokens(row) + [tokens.end, SEPARATOR]
                text += ids
                self.document += [len(self.owners)] * len(ids)
                self.owners.append(s.owner)
        self.text = np.array(text)
        order = np.argsort(self.text, kind="stable")
        values, first = np.unique(self.text[order], return_index=True)
        self.places = dict(zip(values.tolist(), np.split(order, first[1:])))

    def tau(self, nulls, most=0.004):
        """The least τ, to 100 millibits, with at most that part of the null answers' tokens paid."""
        low, high, tokens = 0, 400_000, sum(len(a.tokens) for a in nulls)
        while high - low > 100:
            middle = (low + high) // 2
            paid = sum(sum(self.shares(a, Rules(tau=middle)).values()) * len(a.tokens) for a in nulls)
            low, high = (low, middle) if paid <= most * tokens else (middle, high)
        return high

    def longest(self, ids):
        """Length of the longest beginning of ids that the text has, and its places."""
        held, n = self.places.get(ids[0], np.array([], int)), 0
        while len(held):
            found, n = held, n + 1
            if n == len(ids):
                break
            held = held[self.text[held + n] == ids[n]]  # a separator ends every document: never beyond the text
        return (n, found) if n else (0, held)

    def shares(self, a, rules):
        windows = {tuple(a.prompt[i:i + 8]) for i in range(len(a.prompt) - 7)} if rules.echo else set()
        echo = [False] * len(a.tokens)
        for i in range(len(a.tokens) - 7):
            if tuple(a.tokens[i:i + 8]) in windows:
                echo[i:i + 8] = [True] * 8
        matches, last = [], 0
        for i in range(len(a.tokens)):
            end = next((j for j in range(i, len(a.tokens)) if echo[j]), len(a.tokens))
            n, places = self.longest(a.tokens[i:end]) if end > i else (0, ())
            if i + n > last and n:
                last = i + n
                worth = sum(int(self.table[t]) for t in a.tokens[i:last])
                holders = sorted({self.document[p] for p in places})
                if worth > rules.tau:
                    matches.append((-worth, i, last, holders[:1] if rules.earliest else holders))
        share, taken = Counter(), list(echo)
        for _, first, end, holders in sorted(matches):
            free = [t for t in range(first, end) if not taken[t]]
            for t in free:
                taken[t] = True
            for h in holders:
                if not (rules.payer_earns_nothing and self.owners[h] == a.payer):
                    share[self.owners[h]] += len(free) / len(a.tokens) / len(holders)
        return share


def table_of(policy):
    return np.frombuffer((policy / "surprisal.bin").read_bytes()[16:], "<u2")


# ---- the attacks: each changes sources or answers

def copies(sources, times, time=9000):
    """The attacker registers ten rows of the first contributor, later, and many times."""
    return sources + [Source(ATTACKER, time + i, sources[0].rows[:10], f"copies {i}") for i in range(times)]


def near_copies(sources, swaps, seed):
    rng = random.Random(seed)
    vocabulary = [w for s in sources for row in s.rows for w in row.split()]
    rows = []
    for row in sources[0].rows:
        words = row.split(" ")
        for at in rng.sample(range(len(words)), min(swaps, len(words))):
            words[at] = rng.choice(vocabulary)
        rows.append(" ".join(words))
    return sources + [Source(ATTACKER, 9000, rows, sources[0].datanet)]


def split(sources, parts, apart):
    """The first contributor's rows under so many names, all in one Datanet or each in one of its own."""
    whole, out = sources[0], list(sources[1:])
    return [replace(whole, owner=f"{ATTACKER} {i}", time=whole.time + i, rows=whole.rows[i::parts],
                    datanet=f"apart {i}" if apart else whole.datanet) for i in range(parts)] + out


def phrases(sources, texts, most=2000):
    """Runs of two to five words of the texts, the most frequent first, registered before everybody else."""
    count = Counter()
    for text in texts:
        words = text.split()
        for n in (2, 3, 4, 5):
            count.update(" " + " ".join(words[i:i + n]) for i in range(len(words) - n + 1))
    return [Source(ATTACKER, 1, [p for p, _ in count.most_common(most)], "phrases")] + sources


def questions():
    return [json.loads(line)["question"] for name in ("pirate", "verse")
            for line in (ROOT / f"appliance/demo/data/{name}.jsonl").read_text().splitlines()]


def fragments(sources, words, time):
    rows = []
    for row in sources[0].rows:
        w = row.split(" ")
        rows += [" ".join(w[i:i + words]) for i in range(0, len(w), words)]
    return sources + [Source(ATTACKER, time, list(dict.fromkeys(rows)), sources[0].datanet)]


def in_fragments(sources, tokens, length, seed, n=40):
    """Answers that repeat the first contributor's text in pieces of so many tokens between others."""
    rng, out = random.Random(seed), []
    filler = [i for t in free_text() for i in tokens(t)]
    for _ in range(n):
        ids, got = tokens(rng.choice(sources[0].rows)), []
        for at in range(0, len(ids), length):
            got += ids[at:at + length]
            got.append(rng.choice(filler))
        out.append(Answer(got))
    return out
