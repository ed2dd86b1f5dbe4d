"""What only a running node shows: from start to the first token over HTTP, memory beyond weights and pool, and what
LoRA costs requests for the base model."""
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from measure import ROOT

sys.path.insert(0, str(ROOT / "tests/e2e"))
from node import Node

STARTS = 5
POOL_MB = 256
SECONDS = 30
CLIENTS, PAIRS, ANSWER_TOKENS = 8, 20, 64
OPERATIONS = "openlora:lora_operations_total"
EOS = "2"  # of the default model: biased away, so that every answer has ANSWER_TOKENS tokens


def await_port(process, file):
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if file.exists() and (text := file.read_text().strip()):
            return int(text)
        time.sleep(0.001)
    raise SystemExit("openlorad did not start")


def first_token(port, started):
    """Seconds from `started` to the first text of a streamed answer; asks again while the node is not ready."""
    body = json.dumps({"model": model_name(port), "stream": True, "max_tokens": 8,
                       "messages": [{"role": "user", "content": "Hello"}]})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    while line := reply.readline():
        if line.startswith(b"data: {") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
            seconds = time.monotonic() - started
            reply.read()
            return seconds
    raise SystemExit("no token came")


def model_name(port):
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
            connection.request("GET", "/v1/models")
            reply = connection.getresponse()
            if reply.status == 200:
                return json.loads(reply.read())["data"][0]["id"]
        except OSError:
            pass
        time.sleep(0.002)


def resident_bytes(pid):
    for line in Path(f"/proc/{pid}/status").read_text().split("\n"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def measure_start(model):
    """(seconds to the first token, resident bytes after it)"""
    with tempfile.TemporaryDirectory() as folder:
        port_file = Path(folder) / "port"
        started = time.monotonic()
        process = subprocess.Popen([ROOT / "build/openlorad", "--model", model, "--port", "0", "--port-file", port_file,
                                    "--pool-mb", str(POOL_MB)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return first_token(await_port(process, port_file), started), resident_bytes(process.pid)
        finally:
            process.terminate()
            process.wait()


def base_speed(node, model_id):
    """Output tokens per second of CLIENTS requests together."""
    def ask(i):
        body = {"model": model_id, "prompt": f"Chapter {i}. The sea was", "max_tokens": ANSWER_TOKENS, "temperature": 0,
                "logit_bias": {EOS: -100}}
        return node.json("POST", "/v1/completions", body)[1]["usage"]["completion_tokens"]

    started = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        tokens = sum(pool.map(ask, range(CLIENTS)))
    return tokens / (time.monotonic() - started)


def cost_of_lora(model, adapters):
    """(tokens/s without LoRA, with it but unused, median ratio, LoRA operations) of interleaved pairs. Both nodes run
    all the time; the idle one sleeps."""
    with Node(ROOT / "build", model, flags=["--no-lora"]) as off, \
            Node(ROOT / "build", model, adapters={path.name: path for path in adapters}) as on:
        model_id = off.model_id()
        for path in adapters:  # each answers once, so that it is resident
            on.json("POST", "/v1/completions", {"model": path.name, "prompt": "Hello", "max_tokens": 1})
        base_speed(off, model_id), base_speed(on, model_id)
        before = on.metrics()[OPERATIONS]
        pairs = [(base_speed(off, model_id), base_speed(on, model_id)) for _ in range(PAIRS)]
        operations = on.metrics()[OPERATIONS] - before
    return (statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs),
            statistics.median(b / a for a, b in pairs), operations)


def print_table(model, adapters, print_head, print_row, verdict):
    model.read_bytes()  # weights into the page cache
    seconds, resident = zip(*(measure_start(model) for _ in range(STARTS)))
    beyond = (max(resident) - model.stat().st_size) / 1e6
    s = statistics.median(seconds)
    off, on, ratio, operations = cost_of_lora(model, adapters)
    print_head("a running node", "measured", "bar", "aim", "")
    print_row("start to first token over HTTP, weights in page cache", f"{s:.2f} s", "≤ 1 s", "0.3 s",
              verdict(1 / s, 1, 1 / 0.3))
    print_row(f"resident memory beyond one copy of the weights (used pages of the {POOL_MB} MB pool included)",
              f"{beyond:.0f} MB", "≤ 100 MB", "", verdict(100 / beyond, 1, float("inf")))
    print_row(f"{CLIENTS} base requests: LoRA on with {len(adapters)} adapters resident, against off "
              f"({off:,.0f} → {on:,.0f} tok/s, median of {PAIRS} pairs)", f"{ratio:.3f}", 0.986, 1,
              verdict(ratio, 0.986, 1))
    print_row("LoRA operations counted meanwhile", f"{operations:.0f}", 0, 0, "aim met" if not operations else "**missed**")
