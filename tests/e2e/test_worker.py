"""openlorad with its compute worker (--worker on): the same answers, and the worker killed, stopped and left alone. Nobody
who waits for an answer notices more than a pause."""
import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streaming import Stream
from waiting import PATIENCE_S, until

SUBJECTS = ["sea", "moon", "bread", "music", "winter", "horses", "iron", "letters"]
CLIENTS = 8
ROOT = Path(__file__).resolve().parents[2]


def children(pid):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append((int(stat.parent.name), fields[0]))
    return found


def worker_of(node):
    """The only child; it is no zombie."""
    (child, state), = children(node.process.pid)
    assert state != "Z"
    return child


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def descriptors(node):
    """What the node holds open, numbers left out."""
    return sorted(os.readlink(f).split("[")[0] for f in Path(f"/proc/{node.process.pid}/fd").iterdir())


def ask(node, job):
    """Text, and for half of the jobs every token's log-probability to the last bit."""
    model, prompt, tokens, stream = job
    if stream:
        return Stream(node, model, prompt, tokens, ignore_eos=True).read()
    status, answer = node.json("POST", "/v1/completions", {
        "model": model, "prompt": prompt, "max_tokens": tokens, "temperature": 0.7, "seed": 5, "logprobs": 2,
        "ignore_eos": True})
    assert status == 200, answer
    return answer["choices"][0]["text"], answer["choices"][0]["logprobs"]["token_logprobs"], answer["usage"]["completion_tokens"]


def jobs(node, adapters, tokens):
    models = [node.model_id(), *adapters]
    return [(models[i % len(models)], f"What everyone should know about the {SUBJECTS[i // 2 % len(SUBJECTS)]} is",
             tokens + i, i % 2 == 0) for i in range(CLIENTS)]


def ask_all(node, work):
    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(lambda job: ask(node, job), work))


def ready(node):
    return node.get("/readyz")[0] == 200


def test_the_same_answers_through_kills(make_node, adapters, patience):
    with make_node() as node:
        work = jobs(node, adapters, 16)
        alone = [ask(node, job) for job in work]
    with make_node("--worker", "on") as node:
        assert ask_all(node, work) == alone
        first = worker_of(node)
        time.sleep(0.5 * node.patience)  # the connections of its clients go
        before = descriptors(node)
        seen = set()
        stop = threading.Event()

        def watch():
            while not stop.is_set():
                status, answer = node.json("GET", "/readyz")
                seen.add((status, answer["status"]))
                time.sleep(0.005)

        def kill_twice():
            for restarts in (1, 2):
                until(lambda: node.metrics()["vllm:num_requests_running"], lambda n: n > 3, every=0.005)
                os.kill(worker_of(node), signal.SIGKILL)
                until(lambda: node.json("GET", "/readyz")[1]["restarts"], lambda n: n == restarts, every=0.005)

        watcher, killer = threading.Thread(target=watch), threading.Thread(target=kill_twice)
        watcher.start()
        killer.start()
        longer = [(m, p, t + 120, s) for m, p, t, s in work]
        killed = ask_all(node, longer)
        killer.join()
        assert ask_all(node, longer) == killed  # undisturbed
        stop.set()
        watcher.join()
        for short, long in zip(alone, killed):  # the same as in one process, to the bit, as far as that went
            if isinstance(short, tuple):
                assert long[1][:len(short[1])] == short[1] and long[2] == short[2] + 120
            else:
                assert long.startswith(short)
        assert (503, "restarting") in seen and seen <= {(503, "restarting"), (200, "ready")}
        state = node.json("GET", "/readyz")[1]
        assert state["restarts"] == 2 and state["running"] == state["waiting"] == 0
        assert node.metrics()["openlora:worker_restarts_total"] == 2
        assert worker_of(node) != first
        until(lambda: descriptors(node), lambda now: now == before)


def test_a_worker_that_hangs_is_killed(make_node, patience):
    with make_node("--worker", "on", "--step-timeout-ms", int(1000 * min(patience, 3))) as node:
        job = (node.model_id(), "A long story about the sea begins", 40, True)
        alone = ask(node, job)
        hung = worker_of(node)
        os.kill(hung, signal.SIGSTOP)
        started = time.monotonic()
        assert ask(node, job) == alone
        assert 0.9 < time.monotonic() - started < 60 * patience
        assert not is_running(hung) and worker_of(node) != hung
        assert "did not finish within" in node.log()


def test_signals_to_the_group_end_in_order(make_node, patience):
    """What Ctrl-C and service managers do: the signal reaches both; the answer that runs is finished first."""
    with make_node("--worker", "on") as node:
        child = worker_of(node)
        stream = Stream(node, node.model_id(), "One, two, three,", 60, ignore_eos=True)
        parts = iter(stream)
        next(parts)
        os.kill(child, signal.SIGTERM)
        os.kill(child, signal.SIGINT)
        node.terminate()
        assert sum(1 for _ in parts) > 20
        node.process.wait(PATIENCE_S * patience)
        until(lambda: not is_running(child))
        assert "lost" not in node.log() and "died" not in node.log()


def test_a_killed_node_leaves_no_worker(make_node, patience):
    node = make_node("--worker", "on").start()
    child = worker_of(node)
    os.kill(child, signal.SIGSTOP)  # not even one that cannot notice by itself
    node.kill()
    until(lambda: not is_running(child))


def test_auto_computes_here_where_no_gpu_can(build, make_node, monkeypatch):
    """A plugin, but no driver: the worker finds that out, and goes."""
    monkeypatch.setenv("OPENLORA_CUDA_PLUGIN", str(build / "tests/libfake_plugin.so"))
    monkeypatch.setenv("FAKE_GPUS", "driver")
    with make_node("--device", "auto") as node:
        assert "computing on the CPU: no NVIDIA driver" in node.log()
        assert children(node.process.pid) == [] and node.json("GET", "/readyz")[1]["backend"] == "cpu"
    with make_node("--device", "auto", "--worker", "on") as node:
        assert "computing on the CPU: no NVIDIA driver" in node.log()
        assert worker_of(node)


def test_a_gpu_in_its_worker(build, make_node, monkeypatch, patience):
    """The emulated GPU: the CPU's answer to the bit, though every worker meets an illegal access in its 700th kernel."""
    plugin, tiny = build / "libopenlora_cuda_simt.so", ROOT / "build/test-models/smollm.Q4_1.gguf"
    if patience > 1 or not plugin.exists() or not tiny.exists():
        pytest.skip("for the release build, with the emulator and tests/golden/make_models.py")
    flags = ("--max-seqs", 2, "--max-context", 128, "--max-rows", 16)
    with make_node("--device", "cpu", *flags, model=tiny, adapters={}) as node:
        job = (node.model_id(), "What is the moon?", 40, False)
        cpu = ask(node, job)
    monkeypatch.setenv("OPENLORA_CUDA_PLUGIN", str(plugin))
    monkeypatch.setenv("OPENLORA_SIMT_FAULT", "address@700")
    monkeypatch.setenv("OPENLORA_SIMT_MEMORY_MIB", "300")  # the pool is what is left: every worker must find the same
    with make_node("--device", "auto", *flags, model=tiny, adapters={}) as node:
        state = node.json("GET", "/readyz")[1]
        assert state["backend"] == "cuda" and state["device"]["name"].startswith("Emulated")
        assert ask(node, job) == cpu
        assert node.json("GET", "/readyz")[1]["restarts"] > 0 and "illegal memory access" in node.log()
        assert "libopenlora_cuda" not in Path(f"/proc/{node.process.pid}/maps").read_text()
        assert "libopenlora_cuda" in Path(f"/proc/{worker_of(node)}/maps").read_text()


def test_bad_settings_are_told(build, model):
    for words, told in ((["--worker", "maybe"], "on, off and auto"), (["--worker", "on", "--isa", "abacus"], "abacus"),
                        (["--worker", "on", "--device", "cuda:7"], "CUDA")):
        done = subprocess.run([build / "openlorad", "--model", model, "--port", "0", *words], capture_output=True, text=True,
                              timeout=120)
        assert done.returncode == 1 and told in done.stderr
