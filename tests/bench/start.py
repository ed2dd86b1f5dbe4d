"""From starting the program to the first token over HTTP, and the memory a node holds beyond weights and pool."""
import http.client
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from measure import ROOT

STARTS = 5
POOL_MIB = 256
SECONDS = 30


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


def measure(model):
    """(seconds to the first token, resident bytes after it)"""
    with tempfile.TemporaryDirectory() as folder:
        port_file = Path(folder) / "port"
        started = time.monotonic()
        process = subprocess.Popen([ROOT / "build/openlorad", "--model", model, "--port", "0", "--port-file", port_file,
                                    "--pool-mib", str(POOL_MIB)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return first_token(await_port(process, port_file), started), resident_bytes(process.pid)
        finally:
            process.terminate()
            process.wait()


def print_table(model, print_head, print_row):
    model.read_bytes()  # weights into the page cache
    seconds, resident = zip(*(measure(model) for _ in range(STARTS)))
    beyond = max(resident) - model.stat().st_size
    print_head("start", "measured", "bar", "aim", "")
    s = statistics.median(seconds)
    print_row("start to first token over HTTP, weights in page cache", f"{s:.2f} s", "1 s", "0.3 s",
              "aim met" if s <= 0.3 else "bar met" if s <= 1 else "**missed**")
    print_row(f"resident memory beyond one copy of the weights (touched pages of a {POOL_MIB} MiB pool included)",
              f"{beyond / 1e6:.0f} MB", "100 MB", "", "bar met" if beyond <= 100e6 else "**missed**")
