#!/usr/bin/env python3
"""Which instructions each CUDA kernel must and must not consist of. The table is kernels/cuda/sass.txt.

  sass.py FILE…              compares; names each breach; exit status 1 if there is one
  sass.py FILE…   --count    prints how often each instruction appears, per kernel

A line of the table: KERNEL [sm_N,…] must|never INSTRUCTION…. KERNEL may hold * and ?. An instruction LDG.128 stands for
each whose parts hold these in this order, the first one first: LDG.E.128.CONSTANT. Every kernel needs a line with `must`
of its own; a `never` of it can be lifted by `may`, for that kernel, where the file says why."""
import argparse
import fnmatch
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import machine_code
from machine_code import Unreadable

TABLE = Path(__file__).resolve().parents[2] / "kernels/cuda/sass.txt"
VERBS = ("must", "never", "may")


@dataclass
class Rule:
    kernel: str
    architectures: list  # empty: all
    verb: str
    instructions: list

    def is_for(self, kernel):
        return (not self.architectures or kernel.architecture in self.architectures) and \
            fnmatch.fnmatchcase(kernel.name, self.kernel)


def read_table(path):
    rules = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        kernel, architectures = words.pop(0), []
        if words and words[0].startswith("sm_"):
            architectures = [int(w.removeprefix("sm_")) for w in words.pop(0).split(",")]
        if len(words) < 2 or words[0] not in VERBS:
            raise Unreadable(f"{path}:{number}: KERNEL [sm_N,…] {'|'.join(VERBS)} INSTRUCTION… is wanted")
        rules.append(Rule(kernel, architectures, words[0], words[1:]))
    return rules


def stands_for(pattern, opcode):
    """Are the pattern's parts in the opcode, in order, the first as the first?"""
    wanted, parts = pattern.split("."), iter(opcode.split("."))
    return next(parts) == wanted[0] and all(any(p == w for p in parts) for w in wanted[1:])


def breaches(kernels, rules):
    """A sentence for each thing that is not as the table says."""
    used, silent = set(), set()
    for kernel in kernels.values():
        where = f"{kernel.name} on sm_{kernel.architecture}"
        mine = [(i, r) for i, r in enumerate(rules) if r.is_for(kernel)]
        used.update(i for i, _ in mine)
        if kernel.name not in silent and not any(r.verb == "must" and r.kernel != "*" for _, r in mine):
            silent.add(kernel.name)
            yield f"{kernel.name}: no line `must` in {TABLE.name} says what it is made of"
        opcodes = Counter(kernel.instructions)
        may = [p for _, r in mine if r.verb == "may" for p in r.instructions]
        for _, rule in mine:
            for pattern in rule.instructions:
                found = [o for o in opcodes if stands_for(pattern, o)]
                if rule.verb == "must" and not found:
                    yield f"{where}: no {pattern}"
                found = [o for o in found if not any(stands_for(p, o) for p in may)]
                if rule.verb == "never" and found:
                    yield f"{where}: {sum(opcodes[o] for o in found)} × {found[0]}, which must not be in it"
    for i, rule in enumerate(rules):
        if i not in used:
            yield f"{rule.kernel}: in {TABLE.name}, but there is no such kernel"


def main():
    parser = argparse.ArgumentParser(description="Instructions of the CUDA kernels.")
    parser.add_argument("files", metavar="FILE", type=Path, nargs="+", help="libopenlora_cuda.so, or objects")
    parser.add_argument("--in", dest="table_file", metavar="TABLE", type=Path, default=TABLE, help="the table [kernels/cuda/sass.txt]")
    parser.add_argument("--count", action="store_true", help="print the instructions instead")
    options = parser.parse_args()
    try:
        kernels = machine_code.read_kernels(options.files, instructions=True)
        found = [] if options.count else list(breaches(kernels, read_table(options.table_file)))
    except (Unreadable, OSError) as e:
        sys.exit(f"sass: {e}")
    if options.count:
        for kernel in kernels.values():
            counts = ", ".join(f"{n} {o}" for o, n in Counter(kernel.instructions).most_common())
            print(f"{kernel.name} sm_{kernel.architecture}: {counts}")
        return
    for sentence in found:
        print(f"sass: {sentence}", file=sys.stderr)
    if not found:
        print(f"{len({k.name for k in kernels.values()})} kernels have the instructions they promise, "
              f"in {len(kernels)} machine codes")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
