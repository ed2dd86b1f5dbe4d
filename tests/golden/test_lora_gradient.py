#!/usr/bin/env python3
"""Losses and gradients of the float32 LoRA pass against PyTorch and PEFT in float64, for every architecture, format and
adapter of make_models.py.

  test_lora_gradient.py --build DIR --models DIR [--filter TEXT]
  pytest test_lora_gradient.py     takes build/, and build/test-models, which it makes

The default model, on a text that its adapter was trained with, is the last case.

Every tensor of an adapter is compared by itself: |ours − theirs| / |theirs| ≤ GRADIENT. Losses: relative, ≤ LOSS. The
weights are the file's, dequantized; the reference computes all else in float64, but for the rotary angles, which are
float32 in the models' definition. Examples of several lengths (one longer than two blocks of rows), weights that are
zero, one, fractional and negative, and tokens after the last weight.

Where one to three predictions make a gradient, a few scalars (A·x of a rank-1 adapter) may cancel to a hundredth of
their terms, and float32 rounding with them: PyTorch's own float32 is off by 1e-5 there. Those are held to FEW times
the bounds.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch

import reference

ROOT = pathlib.Path(__file__).parents[2]
DEFAULT = pathlib.Path.home() / ".cache/openlora/SmolLM2-135M-Instruct.Q4_1.gguf"
GRADIENT, LOSS, FEW = 1e-5, 1e-6, 10
LENGTHS = (2, 5, 23, 90)


def dump(build, model, adapter, examples, *options):
    """(answer, gradients (n, parameters)) of lora_dump."""
    text = "".join(f"{seed} " + " ".join(f"{t} {w!r}" for t, w in zip(tokens, weights)) + "\n"
                   for seed, tokens, weights in examples)
    with tempfile.TemporaryDirectory() as d:
        out = pathlib.Path(d) / "gradients"
        run = subprocess.run([build / "tests/lora_dump", model, adapter, out, *options], input=text, text=True,
                             capture_output=True)
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout), np.fromfile(out, np.float32)


def make_examples(vocab, lengths=LENGTHS, seed=11):
    rng = np.random.default_rng(seed)
    out = []
    for i, n in enumerate(lengths):
        weights = rng.choice([0.0, 1.0, 0.25, -0.5], n, p=[0.3, 0.5, 0.1, 0.1])
        weights[0], weights[1] = 0.0, 1.0
        if i == 2:
            weights[-4:] = 0.0
        out.append((i, rng.integers(3, vocab, n).tolist(), weights.tolist()))
    return out


class Norm64(torch.nn.Module):
    """RMSNorm without the detour through float32 that transformers takes."""
    def __init__(self, norm):
        super().__init__()
        self.weight, self.eps = norm.weight, norm.variance_epsilon

    def forward(self, x):
        return self.weight * (x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.eps))


def double_model(model_path, adapter):
    model, _ = reference.load_model(model_path)
    model.set_attn_implementation("sdpa")  # the eager one rounds probabilities to float32
    model = (reference.add_adapter(model, adapter)).double().eval()
    for name, module in list(model.named_modules()):
        if type(module).__name__.endswith("RMSNorm"):
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, Norm64(module))
    for name, p in model.named_parameters():
        p.requires_grad_("lora_" in name)
    return model


def theirs(model, tokens, weights):
    """(loss, {tensor: gradient}) in float64."""
    model.zero_grad()
    logits = model(torch.tensor([tokens])).logits[0, :-1]
    loss = -(torch.log_softmax(logits, -1).gather(1, torch.tensor(tokens[1:])[:, None])[:, 0] *
             torch.tensor(weights[1:], dtype=torch.float64)).sum()
    loss.backward()
    return loss.item(), {k.replace(".default", ""): p.grad.numpy() for k, p in model.named_parameters()
                         if "lora_" in k}


def compare(build, model_path, adapter, examples, *options):
    """(worst gradient error and its tensor, worst loss error) over all examples; of few predictions a FEWth counts."""
    answer, flat = dump(build, model_path, adapter, examples, *options)
    flat = flat.reshape(len(examples), -1)
    model = double_model(model_path, adapter)
    worst, where, worst_loss = 0.0, "", 0.0
    for (_, tokens, weights), (loss, total), g in zip(examples, answer["losses"], flat):
        their_loss, gradients = theirs(model, tokens, weights)
        whole = np.sqrt(sum(np.square(x).sum() for x in gradients.values()))
        scale = max(abs(their_loss), sum(map(abs, weights)))  # weights of both signs may cancel
        few = FEW if np.count_nonzero(weights) < 4 else 1
        worst_loss = max(worst_loss, abs(loss - their_loss) / scale / few)
        assert abs(total - sum(weights)) < 1e-9
        assert {t[0] for t in answer["tensors"]} == set(gradients)
        for name, at, rows, cols in answer["tensors"]:
            want = gradients[name]
            assert want.shape == (rows, cols), name
            ours, norm = g[at:at + rows * cols].reshape(rows, cols), np.linalg.norm(want)
            if norm < 1e-12 * whole:  # the softmax of one token does not depend on q and k
                assert not ours.any(), name
                continue
            error = np.linalg.norm(ours - want) / norm / few
            if not error <= worst:
                worst, where = float(error), name
    return worst, where, worst_loss


def cases(models):
    """Every model with an adapter of all targets; the directories with every PEFT adapter."""
    for entry in json.loads((models / "models.json").read_text()):
        for adapter in entry["adapters"]:
            if not adapter.endswith(".gguf") and (entry["path"] == entry["name"] or adapter.endswith("r4-all")):
                yield models / entry["path"], models / adapter


def real_example(build, model):
    """The first row of the demo's data: an answer of some thirty tokens after its question."""
    row = json.loads((ROOT / "appliance/demo/data/pirate.jsonl").read_text().split("\n")[0])
    prompt = f"<|im_start|>user\n{row['question']}<|im_end|>\n<|im_start|>assistant\n"
    text = [prompt, prompt + row["answer"] + "<|im_end|>"]
    ids = [[int(t) for t in subprocess.run([build / "openlora", "tokenize", "--model", model], input=x, text=True,
                                           capture_output=True, check=True).stdout.split()] for x in text]
    question, both = len(ids[0]), ids[1]
    return (0, both, [0.0] * question + [1.0] * (len(both) - question))


def run(build, models, only=""):
    ran = failures = 0
    todo = list(cases(models)) + [(DEFAULT, ROOT / "appliance/demo/adapters/pirate")] * DEFAULT.exists()
    print(f"{'case':50s} {'gradient':>9s} {'loss':>9s}  worst tensor")
    for model, adapter in todo:
        name = f"{model.name} + {adapter.name}"
        if only not in name:
            continue
        examples = [real_example(build, model)] if model == DEFAULT else make_examples(512)
        worst, where, loss = compare(build, model, adapter, examples)
        passed = worst <= GRADIENT and loss <= LOSS
        print(f"{name:50s} {worst:9.1e} {loss:9.1e}  {where.removeprefix('base_model.model.model.')}"
              f"{'' if passed else '  FAILED'}", flush=True)
        failures += not passed
        ran += 1
    print(f"{ran} cases, {failures} failed")
    return ran, failures


def made_models():
    models = ROOT / "build/test-models"
    subprocess.run([sys.executable, pathlib.Path(__file__).with_name("make_models.py"), models], check=True)
    return models


def test_lora_gradient():
    ran, failures = run(ROOT / "build", made_models())
    assert ran and not failures


def test_adapter_formats():
    """A GGUF adapter and the PEFT directory that it was made of are the same parameters, on either form of the model."""
    models = made_models()
    adapter = models / "adapters/llama/r4-all"
    answers = [dump(ROOT / "build", models / model, path, make_examples(512))
               for model in ("llama", "llama.F32.gguf") for path in (adapter, adapter.with_suffix(".gguf"))]
    for answer, gradients in answers[1:]:
        assert answer["losses"] == answers[0][0]["losses"] and (gradients == answers[0][1]).all()


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--build", type=pathlib.Path, required=True)
    p.add_argument("--models", type=pathlib.Path, required=True)
    p.add_argument("--filter", default="")
    a = p.parse_args()
    ran, failures = run(a.build, a.models, a.filter)
    sys.exit(failures > 0 or not ran)


if __name__ == "__main__":
    main()
