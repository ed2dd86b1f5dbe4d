#!/usr/bin/env python3
"""`openlora logits` against transformers and PEFT, for every architecture, format and adapter of make_models.py.

  test_logits.py --build DIR --models DIR [--model GGUF] [--filter TEXT]
  pytest test_logits.py       takes build/, and build/test-models, which it makes

Each case is compared twice (units: the root mean square of the reference's logits):
 - exact: with the reference that rounds where our numerical contract rounds. What is left is float32 rounding: dot
   products of n ≤ 512 terms err by about sqrt(n) · 2^-24 = 1.4e-6, some 40 of them in sequence are 9e-6 if they add
   up in the worst direction. Where a value lies on a rounding border, even that moves it by a whole step: a key or
   value in F16 by 5e-4 of itself, one of the 64 or so that a score sums, hence EXACT, on the worst element. An int8
   activation moves by 4e-3 and all that follows with it; so the bound holds for the best of several short sequences,
   some of which stay clear of every such border. (The default model rounds 98,000 activations a token: none does.)
 - float32: with plain float32, one long sequence, on the root mean square of the difference. F16 keys and values err
   by 2^-12 relative each; the short sequences allow no more than that: FAR. int8 activations err by about 0.5 % per
   product, 7 products a layer: FAR_INT8.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

import reference

EXACT, FAR, FAR_INT8 = 1e-4, 3e-3, 5e-2
TOP, TOP_INT8 = 0.99, 0.85  # share of positions with the same most likely token
SHORT = (16, 3)  # sequences, tokens: few of each, so that some stay clear of all borders
LONG = 280       # more than one attention split of 256


def run_openlora(build, model, tokens, adapter):
    with tempfile.TemporaryDirectory() as d:
        ids, out = pathlib.Path(d) / "ids", pathlib.Path(d) / "out"
        ids.write_text(" ".join(map(str, tokens)))
        command = [str(build / "openlora"), "logits", "--model", str(model), "--tokens", str(ids), "--out", str(out)]
        subprocess.run(command + (["--adapter", str(adapter)] if adapter else []), check=True, capture_output=True)
        return np.fromfile(out, np.float32).reshape(len(tokens), -1)


def rms(x):
    return float(np.sqrt(np.mean(np.asarray(x, np.float64) ** 2)))


def compare(build, model, adapter, int8, deep):
    """(exact, float32, share of equal top tokens, passed)"""
    rng = np.random.default_rng(7)
    short, long = rng.integers(3, 512, SHORT).tolist(), rng.integers(3, 512, LONG).tolist()
    ours = np.stack([run_openlora(build, model, s, adapter) for s in short])
    logits = reference.load(model, adapter)
    theirs = logits(short, contract=True)
    exact = (np.abs(ours - theirs).max(axis=(1, 2)) / rms(theirs)).min()
    ours = run_openlora(build, model, long, adapter)
    theirs = logits(long)
    far = rms(ours - theirs) / rms(theirs)
    top = np.mean(ours.argmax(1) == theirs.argmax(1))
    passed = exact <= EXACT or deep
    passed &= far <= FAR_INT8 and top >= TOP_INT8 if int8 else far <= FAR and top >= TOP
    return exact, far, top, bool(passed)


def cases(models):
    """Every model alone; on the safetensors directories with every adapter, else with one adapter of each format."""
    for entry in json.loads((models / "models.json").read_text()):
        int8 = entry["type"].startswith("Q")
        adapters = entry["adapters"]
        if entry["path"] != entry["name"]:
            adapters = [a for a in adapters if a.endswith(("r4-all", "r8-qv.gguf"))]
        for adapter in [None] + adapters:
            yield models / entry["path"], models / adapter if adapter else None, int8, False


def run(build, todo, only=""):
    """Prints a line per case and returns how many ran and failed."""
    failures = ran = 0
    print(f"{'case':58s} {'exact':>9s} {'float32':>9s} {'top-1':>6s}")
    for model, adapter, int8, deep in todo:
        name = model.name + (f" + {adapter.parent.name}/{adapter.name}" if adapter else "")
        if only not in name:
            continue
        exact, far, top, passed = compare(build, model, adapter, int8, deep)
        print(f"{name:58s} {exact:9.1e} {far:9.1e} {top:6.3f} {'' if passed else 'FAILED'}", flush=True)
        failures += not passed
        ran += 1
    print(f"{ran} cases, {failures} failed")
    return ran, failures


def test_logits():
    build = pathlib.Path(__file__).parents[2] / "build"
    models = build / "test-models"
    subprocess.run([sys.executable, pathlib.Path(__file__).with_name("make_models.py"), models], check=True)
    default = pathlib.Path.home() / ".cache/openlora/SmolLM2-135M-Instruct.Q4_1.gguf"
    ran, failures = run(build, list(cases(models)) + [(default, None, True, True)] * default.exists())
    assert ran and not failures


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--build", type=pathlib.Path, required=True)
    p.add_argument("--models", type=pathlib.Path, required=True)
    p.add_argument("--model", type=pathlib.Path, help="one more model, for example the default one")
    p.add_argument("--filter", default="", help="only cases whose name contains this")
    a = p.parse_args()
    ran, failures = run(a.build, list(cases(a.models)) + ([(a.model, None, True, True)] if a.model else []), a.filter)
    sys.exit(failures > 0 or not ran)


if __name__ == "__main__":
    main()
