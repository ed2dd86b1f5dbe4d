"""Runs OpenLoRA and llama.cpp in turn and keeps every figure. A ratio is the median of the rounds' ratios, so that a
machine whose speed drifts affects both sides of each."""
import json
import statistics
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def output(*command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


@dataclass
class Machine:
    threads: int
    rounds: int
    gen: int
    openlora: Path = ROOT / "build/openlora"
    peer: Path = ROOT / "build/peer/llama_peer"
    log: list = field(default_factory=list)

    def ours(self, model, prompt=0, gen=None, seqs=1, context=32, adapters=(), options=()):
        command = [self.openlora, "bench", "--model", model, "--threads", self.threads, "--prompt", prompt, "--gen",
                   self.gen if gen is None else gen, "--seqs", seqs, "--context", context, "--json", *options]
        if adapters:
            command += ["--adapter", *adapters]
        return json.loads(output(*command))

    def theirs(self, model, prompt=0, gen=None, seqs=1, context=32, adapters=()):
        return json.loads(output(self.peer, "bench", model, self.threads, prompt, self.gen if gen is None else gen,
                                 seqs, context, *adapters))

    def interleaved(self, *programs, rounds=None):
        """Runs each program once per round; a list of results per program."""
        results = [[] for _ in programs]
        for _ in range(rounds or self.rounds):
            for program, kept in zip(programs, results):
                kept.append(program())
        return results


def median(results, key):
    return statistics.median(result[key] for result in results)


def median_ratio(above, below, key):
    return statistics.median(a[key] / b[key] for a, b in zip(above, below))


def processor():
    for line in Path("/proc/cpuinfo").read_text().split("\n"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown processor"


def bandwidth(folder):
    """{(threads, MiB per thread): GB/s}, read by a program compiled for this machine."""
    program = folder / "bandwidth"
    subprocess.run(["cc", "-O3", "-march=native", "-pthread", ROOT / "tests/bench/bandwidth.c", "-o", program],
                   check=True)
    return {(threads, size): float(output(program, threads, size)) for size in (48, 1024) for threads in (1, 2)}
