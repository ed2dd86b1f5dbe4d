#!/usr/bin/env python3
"""Receipts per second through chainlited's socket, their latency beside what this disk's fdatasync takes, restart time and
memory with many receipts. `--receipts 1000000 --load-post 256` fills the outbox first; `--check` fails above the bounds of
docs (p99 ≤ 2 × fdatasync p99 + 2 ms; restart ≤ 2 s and RSS ≤ 150 MB)."""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fault"))
from chainlited import BUILD, Chainlited  # noqa: E402


def fdatasync_ms(folder, bytes_each, rounds=400, pause_s=0.002):
    """Append and sync, as the outbox's log does, in a file beside it."""
    path, times = Path(folder) / "fdatasync", []
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    block = os.urandom(bytes_each)
    for _ in range(rounds):
        os.write(fd, block)
        start = time.perf_counter()
        os.fdatasync(fd)
        times.append((time.perf_counter() - start) * 1000)
        time.sleep(pause_s)
    os.close(fd)
    path.unlink()
    times.sort()
    return times[len(times) // 2], times[len(times) * 99 // 100]


def rss_mb(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0


def load(node, count, post, threads, rate):
    out = subprocess.run([BUILD / "tests/outbox_load", node.socket, node.model, str(count), str(post), str(threads),
                          str(rate)], check=True, capture_output=True, text=True).stdout
    return json.loads(out)


def start_ms(node):
    """Until it answers: keys (three derivations) and outbox."""
    begin = time.perf_counter()
    node.start()
    node.get("/v1/status")
    return (time.perf_counter() - begin) * 1000


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--receipts", type=int, default=0, help="recorded before measuring")
    p.add_argument("--measured", type=int, default=50000)
    p.add_argument("--post", type=int, default=32, help="receipts per POST")
    p.add_argument("--threads", type=int, default=4, help="connections")
    p.add_argument("--rate", type=int, default=10000, help="receipts per second; 0: as fast as it goes")
    p.add_argument("--folder", help="where the outbox lies (default: a temporary folder)")
    p.add_argument("--check", action="store_true")
    p.add_argument("--json", action="store_true")
    a = p.parse_args()
    with tempfile.TemporaryDirectory(dir=a.folder) as folder:
        node = Chainlited(folder, "--max-exposure-wei", 10**30, "--log-level", "warn").start()
        disk = fdatasync_ms(folder, a.post * 900)
        filled = load(node, a.receipts, 256, a.threads, 0) if a.receipts else None
        result = load(node, a.measured, a.post, a.threads, a.rate)
        rss = rss_mb(node.process.pid)
        node.kill()
        restart = start_ms(node)
        fresh_rss = rss_mb(node.process.pid)
        next_sequence = node.get("/v1/status")["next_sequence"]
        node.stop()
    bound = 2 * disk[1] + 2
    if a.json:
        print(json.dumps(result | {"post": a.post, "fdatasync_p50_ms": round(disk[0], 2), "fdatasync_p99_ms": round(disk[1], 2),
                                   "bound_ms": round(bound, 2), "receipts": next_sequence - 1, "restart_ms": round(restart),
                                   "busy_rss_mb": round(rss), "rss_mb": round(fresh_rss)}))
        return 0
    if filled:
        print(f"filled with {a.receipts} receipts at {filled['receipts_per_s']:.0f}/s")
    print(f"receipts {result['receipts_per_s']:.0f}/s in POSTs of {a.post} over {a.threads} connections "
          f"(reservations {result['reservations_per_s']:.0f}/s)")
    print(f"latency p50 {result['p50_ms']} ms, p99 {result['p99_ms']} ms, max {result['max_ms']} ms; "
          f"fdatasync p50 {disk[0]:.2f} ms, p99 {disk[1]:.2f} ms; bound {bound:.2f} ms")
    print(f"restart after a kill {restart:.0f} ms with {next_sequence - 1} receipts; RSS {rss:.0f} MB busy, "
          f"{fresh_rss:.0f} MB after it")
    ok = result["p99_ms"] <= bound and restart <= 2000 and max(rss, fresh_rss) <= 150
    return 1 if a.check and not ok else 0


if __name__ == "__main__":
    sys.exit(main())
