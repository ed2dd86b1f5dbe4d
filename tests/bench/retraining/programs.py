"""What the programs under measurement are asked for: adapters trained on some rows, losses and gradients of answers,
spans, vectors, units. Everything comes from the released commands and the small tools of tests/tools."""
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

import texts

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("OPENLORA_BUILD", ROOT / "build"))
sys.path.insert(0, str(ROOT / "tests/golden"))
from datanet_export import Contribution, write as write_datanet  # noqa: E402

BREAK = "<|endoftext|>"  # a token of its own in every vocabulary used here
ECHO_TOKENS = 8


def ask(*words, given=None):
    done = subprocess.run([str(w) for w in words], input=given, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout


def address(c):
    return f"0x{c + 1:040x}"


@dataclass
class Example:
    prompt: list
    answer: list
    open: list = field(default=None)  # of the answer's tokens; None: all


class Model:
    def __init__(self, path, train, threads):
        self.path, self.train_options, self.threads = Path(path).expanduser(), train, threads

    def encode(self, pairs):
        """(question, answer) → Example, with the token that ends the turn."""
        text = BREAK.join(f"{texts.prompt(q)}{BREAK}{a}<|im_end|>" for q, a in pairs)
        ids, parts = json.loads(ask(BUILD / "openlora", "tokenize", "--model", self.path, "--json", given=text)), [[]]
        for token in ids:
            if token == 0:
                parts.append([])
            else:
                parts[-1].append(token)
        assert len(parts) == 2 * len(pairs)
        return [Example(parts[i], parts[i + 1]) for i in range(0, len(parts), 2)]

    def encode_rows(self, rows):
        return self.encode([(r["messages"][1]["content"], r["messages"][2]["content"]) for r in rows])

    def train(self, rows, out, seed, **more):
        """Trains once; what is there already is taken as it is."""
        if not (out / "training.json").exists():
            out.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", suffix=".jsonl", dir=out.parent) as data:
                data.writelines(json.dumps(r) + "\n" for r in rows)
                data.flush()
                options = {**self.train_options, **more, "seed": seed, "threads": self.threads, "checkpoint-every": 0}
                ask(BUILD / "openlora", "train", "--model", self.path, "--data", data.name, "--out", out, "--overwrite",
                    "--quiet", *(w for k, v in options.items() for w in (f"--{k}", v)))
        return out

    def _dump(self, adapter, examples, out, repeat):
        lines = []
        for x in examples:
            weights = [0] * len(x.prompt) + [int(o) for o in (x.open or [True] * len(x.answer))]
            lines.append("0 " + " ".join(f"{t} {w}" for t, w in zip(x.prompt + x.answer, weights)))
        return json.loads(ask(BUILD / "tests/lora_dump", self.path, adapter, out, f"repeat={repeat}",
                              f"threads={self.threads}", given="\n".join(lines) + "\n"))

    def log_likelihoods(self, adapter, examples):
        """Mean ln p of each answer's tokens."""
        losses = np.array(self._dump(adapter, examples, "/dev/null", 0)["losses"])
        return -losses[:, 0] / losses[:, 1]

    def gradients(self, adapter, examples):
        """[(examples, numbers) per layer] of −ln p summed over the open tokens, in the adapter's order of parameters."""
        with tempfile.NamedTemporaryFile(dir=BUILD) as out:
            made = self._dump(adapter, examples, out.name, 1)
            flat = np.fromfile(out.name, "<f4").reshape(len(examples), -1)
        firsts, layers = [], []
        for name, first, *_ in made["tensors"]:
            layer = int(re.search(r"layers\.(\d+)\.", name)[1])
            if layer not in layers:
                layers.append(layer)
                firsts.append(first)
        return np.split(flat, firsts[1:], axis=1)

    def answers(self, adapter, questions, tokens=32):
        return [json.loads(ask(BUILD / "openlora", "run", "--model", self.path, "--adapter", adapter, "--system",
                               texts.SYSTEM, "--max-tokens", tokens, "--threads", self.threads, "--json", q))["text"]
                for q in questions]


def half_way(adapter, out):
    """The adapter with B halved (docs/attribution.md §3)."""
    out.mkdir(parents=True, exist_ok=True)
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file({k: v * np.float32(0.5) if "lora_B" in k else v for k, v in weights.items()}, out / "adapter_model.safetensors")
    (out / "adapter_config.json").write_text((adapter / "adapter_config.json").read_text())
    return out


class Policy:
    """Index and vectors of all contributors' rows under one adapter."""

    def __init__(self, model, data, folder, adapter=None):
        self.folder, self.rows = folder, [len(rows) for rows in data]
        datanet = folder / "datanet"
        if not (folder / "made").exists():
            contributions = [Contribution(address(c), 100 + c, "\n".join(map(json.dumps, rows)).encode(), "chat")
                             for c, rows in enumerate(data)]
            write_datanet(datanet, "0x" + "0f" * 20, "lds", contributions)
            common = ("--model", model.path, "--datanet", datanet, "--out", folder)
            ask(BUILD / "openlora", "attribution", "index", *common)
            if adapter:
                ask(BUILD / "openlora", "attribution", "vectors", *common, "--adapter", adapter, "--threads", model.threads)
            (folder / "made").touch()
        self.first = np.cumsum([0] + self.rows)

    def spans(self, examples, tau):
        """(tokens of each answer that each contributor's spans own, per answer which tokens are open)."""
        lines = [json.dumps({"prompt": x.prompt, "answer": [x.answer]}) for x in examples]
        out = ask(BUILD / "tests/span_dump", self.folder, tau, given="\n".join(lines) + "\n").splitlines()
        owned, opened = np.zeros((len(examples), len(self.rows))), []
        for i, (x, answer) in enumerate(zip(examples, map(json.loads, out))):
            free = ~echo(x)
            for start, tokens, document, _, _ in answer["spans"]:
                owned[i, np.searchsorted(self.first, document, side="right") - 1] += tokens
                free[start:start + tokens] = False
            assert free.sum() == answer["open"]
            opened.append(free.tolist())
        return owned, opened

    def tau(self, nulls, most=0.004):
        """The least τ with which at most that part of the nulls' tokens is paid, to 64 millibits."""
        low, high, total = 0, 1 << 18, sum(len(x.answer) for x in nulls)
        while high - low > 64:
            middle = (low + high) // 2
            low, high = (low, middle) if self.spans(nulls, middle)[0].sum() <= most * total else (middle, high)
        return high

    def vectors(self):
        """seed, numbers per layer, û (contributors, K)."""
        data = (self.folder / "vectors.bin").read_bytes()
        k, blocks, seed, _, n, _ = struct.unpack_from("<IIQiId", data, 8)
        sizes = struct.unpack_from(f"<{blocks}I", data, 40)
        return seed, sizes, np.frombuffer(data, "<i2", offset=40 + 4 * blocks + 24 * n).reshape(n, k)

    def units(self, queries, kappa_ppb, s0, tokens, open_tokens):
        """Per query and contributor (influence, floor, earned, units, cosine in ppb), and X per query."""
        cases = (f"{kappa_ppb} {s0} {t} {u} " + " ".join(map(str, q))
                 for q, t, u in zip(queries, tokens, open_tokens))
        out = ask(BUILD / "tests/influence_dump", "units", self.folder / "vectors.bin", given="\n".join(cases) + "\n")
        n, lines = len(self.rows), [list(map(int, line.split())) for line in out.splitlines()]
        return (np.array([lines[i * (n + 1):i * (n + 1) + n] for i in range(len(queries))]),
                [lines[i * (n + 1) + n][0] for i in range(len(queries))])


def echo(x):
    """Answer tokens in a match of at least ECHO_TOKENS with the prompt."""
    seen = {tuple(x.prompt[i:i + ECHO_TOKENS]) for i in range(len(x.prompt) - ECHO_TOKENS + 1)}
    out = np.zeros(len(x.answer), bool)
    for i in range(len(x.answer) - ECHO_TOKENS + 1):
        if tuple(x.answer[i:i + ECHO_TOKENS]) in seen:
            out[i:i + ECHO_TOKENS] = True
    return out


def nulls(count):
    """Questions and answers from outside the data: the demo's texts."""
    out = []
    for name in ("pirate", "verse"):
        with open(ROOT / f"appliance/demo/data/{name}.jsonl") as f:
            out += [(r["question"], r["answer"]) for r in map(json.loads, list(f)[:count // 2])]
    return out
