"""Prints the table of measured numbers in Markdown: see tests/bench/cpu."""
import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import adapters
import nodes
from measure import ROOT, Machine, bandwidth, median, median_ratio, output, processor


@dataclass
class Row:
    work: str
    model: str
    bar: float
    aim: float
    prompt: int = 0
    seqs: int = 1
    context: int = 32
    adapters: int = 0


ROWS = [
    Row("Q4_1 decode, 1 sequence", "q4_1", 2.5, 3.5),
    Row("Q4_1 decode, 8 sequences", "q4_1", 4, 6, seqs=8),
    Row("Q4_1 decode, 8 sequences on 8 adapters (r 8, q and v)", "q4_1", 8, 14, seqs=8, adapters=8),
    Row("Q4_1 prefill 512", "q4_1", 3.5, 6, prompt=512),
    Row("Q4_0 decode, 1 sequence", "q4_0", 1.7, 2.5),
    Row("Q4_0 decode, 8 sequences", "q4_0", 2.5, 4, seqs=8),
    Row("Q4_0 prefill 512", "q4_0", 1.4, 2.5, prompt=512),
    Row("Q8_0 decode, 1 sequence", "q8_0", 1.7, 2),
    Row("Q8_0 decode, 8 sequences", "q8_0", 3, 5, seqs=8),
    Row("Q8_0 prefill 512", "q8_0", 1.8, 3, prompt=512),
    Row("Q4_1 decode, 1 sequence at 2,048 tokens of context", "q4_1", 2, 3, context=2048),
]


def verdict(ratio, bar, aim):
    return "aim met" if ratio >= aim else "bar met" if ratio >= bar else "**missed**"


def print_head(*columns):
    print("\n| " + " | ".join(columns) + " |")
    print("| --- |" + " ---: |" * (len(columns) - 1), flush=True)


def print_row(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def against_llama_cpp(machine, models, directories, files):
    """The rows that llama.cpp can do too. Returns our results by work."""
    print_head("work", "llama.cpp tok/s", "OpenLoRA tok/s", "ratio", "bar", "aim", "GB/s of weights", "GOP/s", "")
    kept = {}
    for row in ROWS:
        phase = "prefill" if row.prompt else "decode"
        shape = {"prompt": row.prompt, "gen": 0 if row.prompt else None, "seqs": row.seqs, "context": row.context}
        ours, theirs = machine.interleaved(
            lambda: machine.ours(models[row.model], adapters=directories[:row.adapters], **shape),
            lambda: machine.theirs(models[row.model], adapters=files[:row.adapters], **shape))
        key = f"{phase}_tok_s"
        ratio = median_ratio(ours, theirs, key)
        weights = "–" if row.prompt else f"{median(ours, 'decode_weights_gb_s'):.1f}"
        print_row(row.work, f"{median(theirs, key):,.0f}", f"{median(ours, key):,.0f}", f"{ratio:.2f}", row.bar,
                  row.aim, weights, f"{median(ours, phase + '_gop_s'):,.0f}", verdict(ratio, row.bar, row.aim))
        kept[row.work] = ours
    return kept


def against_ourselves(machine, model, directories):
    print_head("OpenLoRA against itself", "tok/s without", "tok/s with", "ratio", "bar", "aim", "")

    def print_ratio(work, without, with_it, bar, aim):
        ratio = median_ratio(with_it, without, "decode_tok_s")
        print_row(work, f"{median(without, 'decode_tok_s'):,.0f}", f"{median(with_it, 'decode_tok_s'):,.0f}",
                  f"{ratio:.3f}", bar, aim, verdict(ratio, bar, aim))

    one, eight = machine.interleaved(lambda: machine.ours(model, seqs=8, adapters=directories[:1]),
                                     lambda: machine.ours(model, seqs=8, adapters=directories[:8]))
    print_ratio("decode 8 sequences: on 8 adapters, against 8 on one", one, eight, 0.9, 1)
    base, zipf = machine.interleaved(
        lambda: machine.ours(model, seqs=64), lambda: machine.ours(model, seqs=64, adapters=directories,
                                                                   options=("--zipf", "1")))
    print_ratio(f"decode 64 rows: on 64 of {len(directories):,} adapters (Zipf 1.0), against base", base, zipf, 0.85, 0.95)


def print_machine(machine, folder, models):
    speed = bandwidth(folder)
    print(f"{processor()}, {os.cpu_count()} cores, {machine.threads} threads, instruction set "
          f"{machine.ours(models['q4_1'], gen=1)['isa']}. Read bandwidth, GB/s: "
          + ", ".join(f"{gb:.0f} ({threads} thread{'s' if threads > 1 else ''}, {size} MiB each)"
                      for (threads, size), gb in speed.items()) + ".")
    print(f"llama.cpp of llama-cpp-python 0.3.36, built for this processor without AMX (with it, it crashes on some "
          f"virtual machines). Ratios are medians of {machine.rounds} interleaved rounds.")


def print_kl(machine, model, folder):
    import kl  # loads PyTorch, which the other rows do not need

    r = kl.compare(machine, model, folder)
    worse = r["difference"] > r["interval"]
    print_head("KL to float32 PyTorch, nats", "llama.cpp", "OpenLoRA", "paired difference", "top-1 llama.cpp",
               "top-1 OpenLoRA", "")
    print_row(f"Q4_1, {kl.WINDOWS} × {kl.WINDOW_TOKENS:,} tokens", f"{r['theirs']:.2e}", f"{r['ours']:.2e}",
              f"{r['difference']:+.1e} ± {r['interval']:.0e}", f"{r['top1_theirs']:.4f}", f"{r['top1_ours']:.4f}",
              "**worse**" if worse else "half" if r["ours"] <= r["theirs"] / 2 else "not worse")


def quantized_models(machine, model, folder):
    models = {"q4_1": model}
    for kind in ("q4_0", "q8_0"):
        models[kind] = folder / f"{kind}.gguf"
        if not models[kind].exists():
            output(machine.peer, "quantize", model, models[kind], kind)
    return models


def main():
    parser = argparse.ArgumentParser(description="Measures OpenLoRA beside llama.cpp; prints Markdown.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gen", type=int, default=64, help="steps to decode per measurement")
    parser.add_argument("--adapters", type=int, default=1000, help="adapters to draw from")
    parser.add_argument("--only", choices=["llama", "self", "node", "kl"], action="append", help="some tables only")
    args = parser.parse_args()
    wanted = args.only or ["llama", "self", "node", "kl"]
    folder = ROOT / "build/bench"
    folder.mkdir(parents=True, exist_ok=True)
    machine = Machine(args.threads, args.rounds, args.gen)
    models = quantized_models(machine, args.model, folder)
    directories, files = adapters.make(args.model, folder / "adapters", args.adapters if "self" in wanted else 8, 8)
    print_machine(machine, folder, models)
    if "llama" in wanted:
        against_llama_cpp(machine, models, directories, files)
    if "self" in wanted:
        against_ourselves(machine, args.model, directories)
    if "node" in wanted:
        nodes.print_table(args.model, directories[:8], print_head, print_row, verdict)
    if "kl" in wanted:
        print_kl(machine, args.model, folder)


if __name__ == "__main__":
    sys.exit(main())
