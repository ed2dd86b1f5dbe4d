"""The forward pass on the CUDA backend against the CPU's: logits equal byte by byte, for every architecture and weight
type of the generated models, with and without adapters, in chunks of several sizes; and for the default model.

    pytest tests/gpu/test_logits.py --build build --models build/test-models

The plugin is the emulated one in the build folder; OPENLORA_CUDA_PLUGIN names another.
"""
import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROMPT = [(17 * i * i + 5 * i + 11) % 253 + 3 for i in range(40)]
REAL_PROMPT = [504, 3575, 282, 4649, 314, 7042, 30, 378, 314, 1343, 260, 2240, 284, 260, 1837, 28]  # 16 tokens


@pytest.fixture(scope="session")
def build(request):
    return Path(request.config.getoption("--build")).resolve()


@pytest.fixture(scope="session")
def models(request):
    return Path(request.config.getoption("--models")).resolve()


def environment(build):
    return {"OPENLORA_CUDA_PLUGIN": str(build / "libopenlora_cuda_simt.so"), **os.environ}


def logits(build, out, device, model, tokens, chunk, adapter=None):
    command = [build / "openlora", "logits", "--device", device, "--model", model, "--tokens", "-", "--out", out,
               "--chunk", str(chunk)] + (["--adapter", adapter] if adapter else [])
    run = subprocess.run(command, input=" ".join(map(str, tokens)), text=True, capture_output=True,
                         env=environment(build), timeout=600)
    assert run.returncode == 0, run.stderr
    return out.read_bytes()


def listed(models):
    return json.loads((models / "models.json").read_text())


def pytest_generate_tests(metafunc):
    if "entry" in metafunc.fixturenames:
        entries = listed(Path(metafunc.config.getoption("--models")).resolve())
        metafunc.parametrize("entry", entries, ids=[e["path"] for e in entries])


def test_every_model_equals_the_cpu(entry, build, models, tmp_path):
    model = models / entry["path"]
    adapters = [None] + [models / a for a in entry["adapters"] if not a.endswith(".gguf")]
    if not entry["path"].endswith("Q4_1.gguf"):  # every adapter with one type; one with the others
        adapters = [None, adapters[-1]]
    for adapter in adapters:
        want = logits(build, tmp_path / "cpu", "cpu", model, PROMPT, 128, adapter)
        for chunk in (40, 7, 1) if adapter is None else (13,):
            got = logits(build, tmp_path / "cuda", "cuda", model, PROMPT, chunk, adapter)
            assert got == want, f"{adapter} in chunks of {chunk}: first difference at byte {first_difference(got, want)}"


def test_default_model(build, tmp_path):
    """16 tokens of prompt at once, then 8 one by one."""
    model = Path.home() / ".cache/openlora/SmolLM2-135M-Instruct.Q4_1.gguf"
    tokens = REAL_PROMPT
    whole = logits(build, tmp_path / "cpu", "cpu", model, tokens + REAL_PROMPT[:8], 128)
    got = logits(build, tmp_path / "cuda", "cuda", model, tokens, 16)
    assert got == whole[:len(got)]
    row = len(got) // 16
    one_by_one = logits(build, tmp_path / "cuda", "cuda", model, REAL_PROMPT[:8], 1)
    assert one_by_one == logits(build, tmp_path / "cpu", "cpu", model, REAL_PROMPT[:8], 128)
    assert len(one_by_one) == 8 * row


@pytest.mark.parametrize("seqs", [1, 3])
@pytest.mark.parametrize("adapters", [False, True])
def test_decode_steps_come_from_graphs(build, models, seqs, adapters):
    """What the warm-up records is what decode steps ask for: every one of them is replayed, with LoRA, too."""
    gen = 4
    command = [build / "openlora", "bench", "--device", "cuda", "--model", models / "smollm.Q4_1.gguf", "--prompt", "0",
               "--gen", str(gen), "--seqs", str(seqs), "--json"]
    if adapters:
        command += ["--adapter", models / "adapters/smollm/r4-all"]
    run = subprocess.run(command, text=True, capture_output=True, env=environment(build), timeout=600)
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert result["graphs"] > 0 and result["graph_replays"] == 3 * gen  # the best of three
    assert bool(result["lora_ops"]) == adapters


def first_difference(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
