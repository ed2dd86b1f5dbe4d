#!/usr/bin/env python3
"""Speed of training: forward and backward of LoRA on one batch, ours against PyTorch and PEFT in float32, in turns.

  backward.py --build DIR --model GGUF --adapter DIR [--examples 8] [--tokens 80] [--threads 2] [--rounds 5]

Tokens are those of the examples, padding not counted; weights are 0 on the first third of each (its prompt). The best
round of each side counts: others may use the machine. For the same reason the processor's time is told apart.
"""
import argparse
import json
import pathlib
import sys
import time

import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "golden"))
import reference  # noqa: E402
import test_lora_gradient as golden  # noqa: E402


def make_examples(n, tokens, vocab):
    rng = np.random.default_rng(3)
    out = []
    for i in range(n):
        length = tokens + int(rng.integers(-10, 11))
        out.append((i, rng.integers(3, vocab, length).tolist(), [0.0 if j < tokens // 3 else 1.0 for j in range(length)]))
    return out


class Theirs:
    def __init__(self, model, adapter, examples, threads):
        torch.set_num_threads(threads)
        base, _ = reference.load_model(model)
        base.set_attn_implementation("sdpa")
        self.model = reference.add_adapter(base, adapter)
        for name, p in self.model.named_parameters():
            p.requires_grad_("lora_" in name)
        width = max(len(t) for _, t, _ in examples)
        self.ids = torch.zeros(len(examples), width, dtype=torch.long)
        self.mask, self.labels = torch.zeros_like(self.ids), torch.full_like(self.ids, -100)
        for i, (_, tokens, weights) in enumerate(examples):
            self.ids[i, :len(tokens)] = torch.tensor(tokens)
            self.mask[i, :len(tokens)] = 1
            self.labels[i, :len(tokens)] = torch.tensor([t if w else -100 for t, w in zip(tokens, weights)])

    def step(self):
        self.model.zero_grad()
        start, cpu = time.perf_counter(), time.process_time()
        loss = self.model(self.ids, attention_mask=self.mask, labels=self.labels).loss
        loss.backward()
        return time.perf_counter() - start, time.process_time() - cpu, loss.item()


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("build", "model", "adapter"):
        p.add_argument("--" + name, type=pathlib.Path, required=True)
    for name, value in (("examples", 8), ("tokens", 80), ("threads", 2), ("rounds", 5)):
        p.add_argument("--" + name, type=int, default=value)
    a = p.parse_args()
    examples = make_examples(a.examples, a.tokens, 49000)
    total = sum(len(t) for _, t, _ in examples)
    theirs = Theirs(a.model, a.adapter, examples, a.threads)
    ours, pytorch = [], []
    for _ in range(a.rounds):
        answer, _ = golden.dump(a.build, a.model, a.adapter, examples, f"threads={a.threads}", "sum=1", "repeat=3")
        ours.append((min(answer["seconds"]), min(answer["cpu_seconds"])))
        steps = [theirs.step() for _ in range(2)]
        pytorch.append(tuple(map(min, zip(*steps)))[:2])
    loss = steps[0][2]
    mean = sum(x for x, _ in answer["losses"]) / sum(w for _, w in answer["losses"])
    assert abs(mean - loss) < 1e-4 * abs(loss), (mean, loss)
    (our_s, our_cpu), (their_s, their_cpu) = (map(min, zip(*times)) for times in (ours, pytorch))
    print(json.dumps({"tokens": total, "threads": a.threads, "ours_tok_s": round(total / our_s, 1),
                      "pytorch_tok_s": round(total / their_s, 1), "ratio": round(their_s / our_s, 2),
                      "ours_cpu_s": round(our_cpu, 3), "pytorch_cpu_s": round(their_cpu, 3),
                      "ratio_cpu": round(their_cpu / our_cpu, 2)}))


if __name__ == "__main__":
    main()
