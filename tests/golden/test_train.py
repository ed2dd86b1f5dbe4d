#!/usr/bin/env python3
"""`openlora train` against PyTorch and PEFT: the same model, data, order and first parameters give the same losses, step
by step, and the same adapter; PEFT loads what was written and computes the same logits.

  pytest test_train.py     takes build/openlora and build/tests/train_dump (OPENLORA_BUILD names another build folder)

What may differ. One pass in float32 over models this small errs by some 1e-6 of the loss. AdamW divides a gradient by its
own size: where a gradient is as small as its rounding error the step's sign is chance, and both sides part by up to 2·lr
in that parameter; the loss then changes by that times the gradient, which is small by assumption. Both effects grow from
step to step. CURVE bounds the loss of each of 24 steps, relative; measured: below 4e-6. PARAMETERS bounds the distance of
the trained adapters relative to the way they went; measured: below 3e-4. An error in a mask, the order, the clipping, the
schedule or any gradient shows as 1e-2 and more.
"""
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from test_training import ask, Random  # noqa: F401 (a fixture)

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("OPENLORA_BUILD", HERE.parents[1] / "build"))
CURVE, PARAMETERS, LOGITS = 2e-5, 2e-3, 1e-4
SEED, BATCH, ACCUMULATE, EPOCHS, RATE, WARMUP, DECAY, CLIP = 11, 3, 2, 3, 2e-3, 3, 0.01, 1.0
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@pytest.fixture(scope="module")
def models():
    out = BUILD / "test-models"
    subprocess.run([sys.executable, HERE / "make_models.py", out], check=True)
    return out


@pytest.fixture(scope="module")
def rows():
    demo = HERE.parents[1] / "appliance/demo/data/verse.jsonl"
    lines = [json.loads(line) for line in demo.read_text().splitlines()[:48]]
    return "".join(json.dumps({"question": x["question"], "answer": x["answer"]}) + "\n" for x in lines)


def base_of(path):
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)


def batch_of(examples):
    width = max(len(tokens) for tokens, _ in examples)
    tokens = torch.tensor([t + [0] * (width - len(t)) for t, _ in examples])
    labels = torch.tensor([[a if b else -100 for a, b in zip(t, m)] + [-100] * (width - len(t)) for t, m in examples])
    mask = torch.tensor([[1] * len(t) + [0] * (width - len(t)) for t, _ in examples])
    return tokens, labels, mask


def summed_loss(model, examples):
    tokens, labels, mask = batch_of(examples)
    logits = model(input_ids=tokens, attention_mask=mask).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100, reduction="sum")


def train_by_torch(model, examples):
    """[(loss, learning rate, gradient norm)…]: what docs/training.md says, in PyTorch."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, 1.0, weight_decay=DECAY)
    per_step = BATCH * ACCUMULATE
    per_epoch = -(-len(examples) // per_step)
    steps, curve = EPOCHS * per_epoch, []
    for epoch in range(EPOCHS):
        order = Random(SEED, 2, epoch).order(len(examples))
        for at in range(0, len(examples), per_step):
            now = [examples[i] for i in order[at:at + per_step]]
            step = len(curve)
            loss = summed_loss(model, now) / sum(sum(mask) for _, mask in now)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(parameters, CLIP).item()
            rate = RATE * ((step + 1) / WARMUP if step < WARMUP else (steps - step) / (steps - WARMUP))
            optimizer.param_groups[0]["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()
            curve.append((loss.item(), rate, norm))
    return curve


def train_by_us(model, data, start, out, *more):
    words = [BUILD / "openlora", "train", "--model", model, "--data", data, "--out", out, "--start", start, "--json", "--rank", 6,
             "--alpha", 9, "--targets", "all", "--seed", SEED, "--batch", BATCH, "--accumulate", ACCUMULATE, "--epochs", EPOCHS,
             "--lr", RATE, "--warmup", WARMUP, "--weight-decay", DECAY, "--clip", CLIP, *more]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def relative(a, b):
    return (np.linalg.norm(np.asarray(a, np.float64) - np.asarray(b, np.float64)) / np.linalg.norm(np.asarray(b, np.float64)))


@pytest.mark.parametrize("name", ["smollm", "qwen3", "llama-bias"])
def test_losses_and_adapter(ask, models, rows, tmp_path, name):  # noqa: F811
    torch.manual_seed(4)
    torch.set_num_threads(1)
    data, start, out = tmp_path / "rows.jsonl", tmp_path / "start", tmp_path / "out"
    data.write_text(rows)
    peft = get_peft_model(base_of(models / name), LoraConfig(r=6, lora_alpha=9, target_modules=ALL, lora_dropout=0.0,
                                                             init_lora_weights=False, task_type="CAUSAL_LM"))
    with torch.no_grad():
        for key, p in peft.named_parameters():
            if "lora_B" in key:
                p.mul_(0.1)
    peft.save_pretrained(start)
    before = load_file(start / "adapter_model.safetensors")
    examples = ask("rows", model=str(models / name), file=str(data), max_tokens=512, too_long="refuse")["examples"]
    theirs = train_by_torch(peft, examples)
    log = train_by_us(models / name, data, start, out)
    ours = [(x["loss"], x["lr"], x["grad_norm"]) for x in log if x["event"] == "step"]
    assert len(ours) == len(theirs) == 24
    worst = max(abs(a[0] / b[0] - 1) for a, b in zip(ours, theirs))
    assert worst < CURVE
    assert max(abs(a[2] / b[2] - 1) for a, b in zip(ours, theirs)) < 1e-3  # norms, to what 7 digits of the step allow
    assert all(a[1] == pytest.approx(b[1], rel=1e-8) for a, b in zip(ours, theirs))
    assert theirs[0][0] - theirs[-1][0] > 0.5

    trained = load_file(out / "adapter_model.safetensors")
    peft.save_pretrained(tmp_path / "theirs")
    wanted = load_file(tmp_path / "theirs" / "adapter_model.safetensors")
    assert sorted(trained) == sorted(wanted)
    went = np.concatenate([(wanted[k] - before[k]).numpy().ravel() for k in sorted(wanted)])
    apart = np.concatenate([(trained[k] - wanted[k]).numpy().ravel() for k in sorted(wanted)])
    distance = np.linalg.norm(apart) / np.linalg.norm(went)
    print(f"{name}: losses within {worst:.1e}, parameters {distance:.1e} of the way")
    assert distance < PARAMETERS

    tokens = examples[0][0]
    loaded = PeftModel.from_pretrained(base_of(models / name), out).eval()
    with torch.no_grad():
        logits = loaded(input_ids=torch.tensor([tokens])).logits[0].numpy().ravel()
    mine = ask("logits", model=str(models / name), adapter=str(out), tokens=tokens)["logits"]
    assert relative(mine, logits) < LOGITS
    assert relative(mine, ask("logits", model=str(models / name), adapter=str(start), tokens=tokens)["logits"]) > 1e-2


def same_files(a, b):
    return all((a / f).read_bytes() == (b / f).read_bytes() for f in ("adapter_model.safetensors", "adapter_config.json"))


def test_what_must_not_matter(models, rows, tmp_path):
    """Batches and threads change nothing; seed and dropout do."""
    data = tmp_path / "rows.jsonl"
    data.write_text(rows)

    def train(name, *options):
        out = tmp_path / name
        subprocess.run([BUILD / "openlora", "train", "--model", models / "smollm", "--data", data, "--out", out, "--epochs", "1",
                        "--dropout", "0.1", "--quiet", *options], check=True)
        return out

    one = train("one", "--batch", "6", "--threads", "1")
    assert same_files(one, train("two", "--batch", "2", "--accumulate", "3", "--threads", "2", "--checkpoint-every", "1"))
    for name, options in {"seed": ["--seed", "1"], "dropout": ["--dropout", "0.2"]}.items():
        assert not same_files(one, train(name, "--batch", "6", *options))


def test_halves_and_evaluation(models, rows, tmp_path):
    """F16 files are the F32 ones rounded; the evaluation is the loss by transformers."""
    data, held = tmp_path / "rows.jsonl", tmp_path / "held.jsonl"
    lines = rows.splitlines(True)
    data.write_text("".join(lines[:40]))
    held.write_text("".join(lines[40:]))

    def train(name, *options):
        done = subprocess.run([BUILD / "openlora", "train", "--model", models / "smollm", "--data", data, "--out",
                               tmp_path / name, "--epochs", "2", "--json", "--eval-data", held, *options], check=True,
                              capture_output=True, text=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    log = train("wide")
    train("narrow", "--dtype", "f16")
    wide, narrow = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("wide", "narrow"))
    assert all(torch.equal(wide[k].to(torch.float16), narrow[k]) for k in wide)
    record = json.loads((tmp_path / "wide/training.json").read_text())
    epochs = [x["evaluation"] for x in log if x["event"] == "epoch"]
    assert [float(e["evaluation"]) for e in record["epochs"]] == pytest.approx(epochs[1:]) and epochs[2] < epochs[0]

    dump = subprocess.run([BUILD / "tests/train_dump"], input=json.dumps(
        {"what": "rows", "model": str(models / "smollm"), "file": str(held), "max_tokens": 512, "too_long": "refuse"}) + "\n",
        capture_output=True, text=True, check=True)
    examples = json.loads(dump.stdout)["examples"]
    with torch.no_grad():
        model = PeftModel.from_pretrained(base_of(models / "smollm"), tmp_path / "wide").eval()
        loss = summed_loss(model, examples).item() / sum(sum(mask) for _, mask in examples)
    assert epochs[-1] == pytest.approx(loss, rel=1e-5)
