"""Training speed of `openlora train` and of PyTorch with PEFT: see tests/bench/train.

A step is forward, backward and AdamW on the same rows. Both sides count the tokens of the rows, padding not counted;
PyTorch is warmed up and keeps its model loaded; our time to load is not counted either. A ratio is the
median of the rounds' ratios. Processor time, all threads together, tells more than the clock where others compute too; ours
is that of a run with the steps less that of a run with one step."""
import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

from measure import ROOT, processor

sys.path.insert(0, str(ROOT / "appliance/demo"))
import train as demo  # noqa: E402

BAR = 0.8


def processor_time(who):
    return resource.getrusage(who).ru_utime  # without the system's: it hands out the model's pages at the start


def run_us(a, steps):
    """[(tokens, seconds)] of the steps after the first, and the processor time of all."""
    before = processor_time(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([str(word) for word in (
            a.openlora, "train", "--model", a.model, "--data", a.data, "--out", Path(folder) / "out", "--targets", a.targets,
            "--steps", steps, "--batch", a.batch, "--threads", a.threads, "--checkpoint-every", 0, "--json")],
            check=True, capture_output=True, text=True)
    log = [x for x in map(json.loads, done.stdout.splitlines()) if x["event"] == "step"][1:]
    return ([(x["tokens"], x["tokens"] / x["tokens_per_second"]) for x in log],
            processor_time(resource.RUSAGE_CHILDREN) - before)


def by_us(a):
    """Tokens, seconds and processor time."""
    _, start = run_us(a, 1)
    steps, used = run_us(a, a.steps + 1)
    return sum(n for n, _ in steps), sum(s for _, s in steps), used - start


class Torch:
    def __init__(self, a):
        torch.set_num_threads(a.threads)
        tokenizer, base = demo.load_base(a.model)
        targets = a.targets.split(",") if a.targets != "all" else "all-linear"
        self.model = get_peft_model(base, LoraConfig(r=8, lora_alpha=16, target_modules=targets, task_type="CAUSAL_LM"))
        self.model.train()
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, 1e-3)
        rows = [demo.encode(tokenizer, json.loads(line)) for line in a.data.read_text().splitlines()]
        self.batches = [(demo.collate(rows[i:i + a.batch], 0), sum(len(tokens) for tokens, _ in rows[i:i + a.batch]))
                        for i in range(0, a.batch * a.steps, a.batch)]
        self.step(self.batches[0][0])

    def step(self, batch):
        self.model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def run(self):
        begin, before = time.time(), processor_time(resource.RUSAGE_SELF)
        for batch, _ in self.batches:
            self.step(batch)
        return (sum(tokens for _, tokens in self.batches), time.time() - begin,
                processor_time(resource.RUSAGE_SELF) - before)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--data", type=Path, default=ROOT / "appliance/demo/data/pirate.jsonl")
    p.add_argument("--openlora", type=Path, default=ROOT / "build/openlora")
    p.add_argument("--targets", default="q_proj,v_proj")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--steps", type=int, default=4, help="timed steps a round")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    peer = Torch(a)
    ours, theirs = [], []
    for _ in range(a.rounds):
        for side, run in ((ours, lambda: by_us(a)), (theirs, peer.run)):
            tokens, seconds, used = run()
            side.append((tokens / seconds, tokens / used))
    ratio, ratio_used = (statistics.median(x[i] / y[i] for x, y in zip(ours, theirs)) for i in (0, 1))
    print(f"{processor()}, {a.threads} threads; torch {torch.__version__}\n")
    print("| training, batch | PyTorch + PEFT tok/s | OpenLoRA tok/s | ratio | by processor time | bar |  |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- |")
    print(f"| rank 8 on {a.targets}, {a.batch} rows | {statistics.median(x for x, _ in theirs):,.0f} | "
          f"{statistics.median(x for x, _ in ours):,.0f} | {ratio:.2f} | {ratio_used:.2f} | {BAR} | "
          f"{'bar met' if ratio >= BAR else '**missed**'} |")
    return 0 if ratio >= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
