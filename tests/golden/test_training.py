#!/usr/bin/env python3
"""The parts of a training against others: AdamW and clipping against torch.optim, the schedules against their formulas
in Python's math, the order of the examples against its definition (random.h) in Python's integers, and which tokens a
row teaches against transformers.

  pytest test_training.py     takes build/tests/train_dump (OPENLORA_BUILD names another build folder)
"""
import json
import math
import os
import pathlib
import subprocess

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = pathlib.Path(os.environ.get("OPENLORA_BUILD", ROOT / "build"))
DEFAULT_MODEL = pathlib.Path.home() / ".cache/openlora/SmolLM2-135M-Instruct.Q4_1.gguf"
MASK64 = 2**64 - 1


@pytest.fixture(scope="module")
def ask():
    process = subprocess.Popen([str(BUILD / "tests/train_dump")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def request(what, **fields):
        process.stdin.write(json.dumps({"what": what, **fields}) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield request
    process.stdin.close()
    assert process.wait() == 0


@pytest.mark.parametrize("weight_decay, clip", [(0.0, 0.0), (0.1, 0.0), (0.01, 1.0)])
def test_adamw_is_torchs(ask, weight_decay, clip):
    """30 steps of 500 values; each differs from torch by 1e-6 at most (float32 rounds values of order 1 by 6e-8)."""
    rng = np.random.default_rng(1)
    start = rng.standard_normal(500).astype(np.float32)
    gradients = (rng.standard_normal((30, 500)) * 10.0 ** rng.uniform(-4, 1, (1, 500))).astype(np.float32)
    rates = [0.002 * (1 - t / 40) for t in range(30)]
    p = torch.nn.Parameter(torch.tensor(start))
    optimizer = torch.optim.AdamW([p], 1.0, betas=(0.9, 0.99), eps=1e-8, weight_decay=weight_decay)
    theirs = []
    for gradient, rate in zip(gradients, rates):
        optimizer.param_groups[0]["lr"] = rate
        p.grad = torch.tensor(gradient)
        if clip:
            torch.nn.utils.clip_grad_norm_([p], clip)
        optimizer.step()
        theirs.append(p.detach().numpy().copy())
    ours = ask("adamw", p=start.tolist(), g=gradients.tolist(), lr=rates, beta1=0.9, beta2=0.99, epsilon=1e-8,
               weight_decay=weight_decay, clip=clip)["p"]
    assert np.abs(np.array(ours) - np.array(theirs, np.float64)).max() < 1e-6
    assert np.abs(np.array(theirs)[-1] - start).max() > 0.01


def formula(kind, step, peak, warmup, steps):
    if step < warmup:
        return peak * (step + 1) / warmup
    x = (step - warmup) / (steps - warmup)
    return peak * {"constant": 1, "linear": 1 - x, "cosine": (1 + math.cos(math.pi * x)) / 2}[kind]


@pytest.mark.parametrize("kind", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("warmup, steps", [(0, 1), (0, 97), (5, 80), (80, 80)])
def test_schedules(ask, kind, warmup, steps):
    ours = ask("rates", kind=kind, peak=0.003, warmup=warmup, steps=steps)["rates"]
    assert len(ours) == steps
    for step, rate in enumerate(ours):
        assert rate == pytest.approx(formula(kind, step, 0.003, warmup, steps), rel=1e-14, abs=1e-18)


def mix(z):
    z = ((z ^ z >> 30) * 0xbf58476d1ce4e5b9) & MASK64
    z = ((z ^ z >> 27) * 0x94d049bb133111eb) & MASK64
    return z ^ z >> 31


class Random:
    """random.h, from its text."""

    def __init__(self, seed, stream, index):
        self.state = mix((mix((mix(seed) + stream) & MASK64) + index) & MASK64)

    def next(self):
        self.state = (self.state + 0x9e3779b97f4a7c15) & MASK64
        return mix(self.state)

    def below(self, n):
        while True:
            product = self.next() * n
            if product & MASK64 >= 2**64 % n:
                return product >> 64

    def order(self, n):
        order = list(range(n))
        for i in range(n - 1, 0, -1):
            j = self.below(i + 1)
            order[i], order[j] = order[j], order[i]
        return order


@pytest.mark.parametrize("seed, stream, index, n", [(0, 2, 0, 1), (20, 2, 3, 160), (2**40 + 7, 3, 0, 1000)])
def test_order(ask, seed, stream, index, n):
    ours = ask("order", seed=seed, stream=stream, index=index, n=n)
    theirs, units = Random(seed, stream, index), Random(seed, stream, index)
    assert ours["order"] == theirs.order(n)
    assert ours["units"] == [((units.next() >> 40) - 2**23) / 2**23 for _ in range(8)]
    assert n == 1 or ours["order"] != ask("order", seed=seed, stream=stream, index=index + 1, n=n)["order"]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(str(DEFAULT_MODEL.parent), gguf_file=DEFAULT_MODEL.name)


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def turns(tokenizer, messages):
    """(tokens, taught) by transformers: before each assistant's turn the prompt as it would be generated from."""
    tokens, taught = [], []
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        prompt = tokenizer.apply_chat_template(messages[:i], add_generation_prompt=True, return_dict=True)["input_ids"]
        assert prompt[:len(tokens)] == tokens
        answer = tokenizer(message["content"], add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
        taught += [0] * (len(prompt) - len(tokens)) + [1] * len(answer)
        tokens = prompt + answer
    return [tokens, taught]


@pytest.mark.parametrize("name", ["pirate", "verse"])
def test_the_demos_rows(ask, tokenizer, name):
    """What is learnt is exactly the answer's tokens and the end of the turn: 160 rows, to the token."""
    path = ROOT / f"appliance/demo/data/{name}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    ours = ask("rows", model=str(DEFAULT_MODEL), file=str(path), max_tokens=512, too_long="refuse")
    theirs = [turns(tokenizer, [{"role": "user", "content": row["question"]},
                                {"role": "assistant", "content": row["answer"]}]) for row in rows]
    assert ours["rows"] == len(rows) == 160
    assert ours["examples"] == theirs


def test_a_chat_of_several_turns(ask, tokenizer, tmp_path):
    chats = [[{"role": "system", "content": "Speak like a sailor."}, {"role": "user", "content": "Who are you?"},
              {"role": "assistant", "content": "A deck hand.\n\nAye."}, {"role": "user", "content": "  And now?\n"},
              {"role": "assistant", "content": " Still one. Größe 🚢"}],
             [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]]
    path = write_rows(tmp_path / "chat.jsonl", [{"messages": chat} for chat in chats])
    ours = ask("rows", model=str(DEFAULT_MODEL), file=path, max_tokens=512, too_long="refuse")
    assert ours["examples"] == [turns(tokenizer, chat) for chat in chats]


def test_windows_of_a_text(ask, tokenizer, tmp_path):
    """Every token but the first is learnt exactly once, whatever the window."""
    text = (ROOT / "README.md").read_text()[:4000]
    path = tmp_path / "text.md"
    path.write_text(text)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    for window in (2, 100, len(ids) - 1, len(ids), 5000):
        ours = ask("rows", model=str(DEFAULT_MODEL), file=str(path), max_tokens=window, too_long="refuse")["examples"]
        learnt = [token for tokens, mask in ours for token, bit in zip(tokens, mask) if bit]
        assert learnt == ids[1:] and all(mask[0] == 0 and len(mask) <= window for _, mask in ours)


def test_long_rows(ask, tmp_path):
    rows = [{"question": "a", "answer": "b " * n} for n in (1, 40, 60)]
    path = write_rows(tmp_path / "long.jsonl", rows)
    kept = {rule: ask("rows", model=str(DEFAULT_MODEL), file=path, max_tokens=60, too_long=rule)
            for rule in ("refuse", "truncate", "skip")}
    assert "2 rows are longer than 60 tokens" in kept["refuse"]["error"]
    assert [len(tokens) for tokens, _ in kept["truncate"]["examples"]][1:] == [60, 60]
    assert len(kept["skip"]["examples"]) == 1 and kept["skip"]["long_rows"] == 2


@pytest.mark.parametrize("row, says", [
    ({"question": "a", "answer": "x<|im_end|>\n<|im_start|>user\ny"}, "special token <|im_end|>"),
    ({"question": "<|im_start|>", "answer": "x"}, "special token <|im_start|>"),
    ({"question": "a"}, "has no answer"),
])
def test_rows_that_are_refused(ask, tmp_path, row, says):
    path = write_rows(tmp_path / "bad.jsonl", [{"question": "a", "answer": "b"}, row])
    answer = ask("rows", model=str(DEFAULT_MODEL), file=path, max_tokens=60, too_long="refuse")
    assert says in answer["error"] and "row 1" in answer["error"] and "bad.jsonl" in answer["error"]
