"""A training that is killed, stopped or resumed ends with the same bits as one that was not.

Killed: by SIGKILL before each of its file operations in turn, writes cut in half (kill_at.c). A tiny model; about 60 runs
of a few hundredths of a second.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from waiting import PATIENCE_S

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = Path(os.environ.get("OPENLORA_BUILD", ROOT / "build"))
RESULT = ["adapter_config.json", "adapter_model.safetensors", "training.json"]


@pytest.fixture(scope="module")
def model():
    out = BUILD / "test-models"
    subprocess.run([sys.executable, ROOT / "tests/golden/make_models.py", out], check=True)
    return out / "llama-bias"


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    out = tmp_path_factory.mktemp("shim") / "kill_at.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", out, HERE / "kill_at.c"], check=True)
    return out


@pytest.fixture(scope="module")
def train(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps({"question": f"What is {i}?", "answer": f"A number, {i}."}) + "\n" for i in range(10)))

    def command(out, *more):
        return [str(word) for word in (
            BUILD / "openlora", "train", "--model", model, "--data", data, "--out", out, "--targets", "q_proj", "--rank", 2,
            "--batch", 2, "--steps", 7, "--dropout", 0.1, "--eval-fraction", 0.2, "--threads", 1, "--checkpoint-every", 3,
            "--json", *more)]

    def run(out, *more, code=0, **environment):
        done = subprocess.run(command(out, *more), env={**os.environ, **environment}, capture_output=True, text=True,
                              timeout=PATIENCE_S)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stderr if code == 1 else [json.loads(line) for line in done.stdout.splitlines()]

    run.command = command
    return run


@pytest.fixture(scope="module")
def whole(train, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "adapter"
    train(out)
    return out


def record_of(folder):
    """The record without what may differ: when it was, and how often it was taken up."""
    record = json.loads((folder / "training.json").read_text())
    return {key: value for key, value in record.items() if key not in ("started", "ended", "seconds", "resumed")}


def assert_same(folder, whole):
    assert sorted(p.name for p in folder.iterdir()) == RESULT
    for name in RESULT[:2]:
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    assert record_of(folder) == record_of(whole)


def test_killed_between_any_two_file_operations(train, whole, shim, tmp_path):
    out, counted = tmp_path / "out", tmp_path / "count"
    shimmed = {"LD_PRELOAD": str(shim), "KILL_BELOW": str(out)}
    train(out, **shimmed, KILL_COUNT=str(counted))
    assert_same(out, whole)
    operations = int(counted.read_text())
    assert 50 < operations < 90
    kept = []  # steps that were not lost
    for at in range(1, operations + 1):
        shutil.rmtree(out)
        train(out, **shimmed, KILL_AT=str(at), code=-signal.SIGKILL)
        log = train(out, "--resume")
        kept.append(log[0]["done"] if log else 7)
        assert_same(out, whole)
    assert kept == sorted(kept) and set(kept) == {0, 3, 6, 7}  # what one checkpoint holds the next cannot lose


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_and_resumed(train, tmp_path, number):
    """The step is finished, a checkpoint written, the way on named; the second half changes nothing."""
    more = ["--steps", "800", "--checkpoint-every", "0"]  # more than the pipe holds lines: it waits for the reader
    train(tmp_path / "whole", *more)
    out = tmp_path / "out"
    process = subprocess.Popen(train.command(out, *more), stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if json.loads(line)["event"] == "step":
            break
    process.send_signal(number)
    last = json.loads(process.stdout.read().splitlines()[-1])
    assert process.wait(timeout=PATIENCE_S) == 3
    assert last["event"] == "stopped" and 0 < last["step"] < 800
    assert [p.name for p in out.iterdir()] == ["training.checkpoint"]
    log = train(out, *more, "--resume")
    assert log[0]["done"] == last["step"]
    assert_same(out, tmp_path / "whole")
    assert json.loads((out / "training.json").read_text())["resumed"] == 1


@pytest.fixture
def stopped(train, shim, tmp_path):
    """A folder with the checkpoint of step 3."""
    out = tmp_path / "stopped"
    train(out, LD_PRELOAD=str(shim), KILL_BELOW=str(out), KILL_AT="20", code=-signal.SIGKILL)
    assert (out / "training.checkpoint").exists()
    return out


def test_what_a_resume_refuses(train, stopped):
    before = (stopped / "training.checkpoint").read_bytes()
    assert "settings.rank: 2, now 4" in train(stopped, "--resume", "--rank", "4", code=1)
    assert "settings.rate" in train(stopped, "--resume", "--lr", "0.5", code=1)
    assert "--resume" in train(stopped, code=1)
    assert "another data" in train(stopped, "--resume", "--data", str(HERE / "test_train.py"), code=1)
    assert (stopped / "training.checkpoint").read_bytes() == before
    (stopped / "training.checkpoint").write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    assert "damaged" in train(stopped, "--resume", code=1)
    assert (stopped / "training.checkpoint").exists()


def test_finished_folders(train, whole, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    assert "--overwrite" in train(out, code=1)
    assert train(out, "--resume") == []  # done already
    assert "settings.seed" in train(out, "--resume", "--seed", "3", code=1)
    assert_same(out, whole)
    (out / "training.json").unlink()  # someone else's adapter
    assert "--overwrite" in train(out, "--resume", code=1)
    train(out, "--overwrite", "--seed", "3")
    assert record_of(out) != record_of(whole) and sorted(p.name for p in out.iterdir()) == RESULT


def test_one_training_per_folder(train, tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen(train.command(out, "--steps", "30000"), stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    assert "another training" in train(out, code=1)
    process.kill()
    process.wait()


def test_a_loss_that_is_not_finite(train, whole, tmp_path):
    start = tmp_path / "start"
    shutil.copytree(whole, start)
    tensors = load_file(start / "adapter_model.safetensors")
    save_file({name: np.full_like(x, 3e38) for name, x in tensors.items()}, start / "adapter_model.safetensors")
    assert "learning rate" in train(tmp_path / "out", "--start", str(start), code=1)
    assert not any((tmp_path / "out").iterdir())
