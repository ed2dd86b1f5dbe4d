#!/usr/bin/env python3
"""Budgets of the CUDA kernels: registers, static shared memory and stack, per kernel and architecture, as maxima for one
version of ptxas. The table is kernels/cuda/budgets.txt.

  budgets.py FILE…            compares; names each breach; exit status 1 if there is one
  budgets.py FILE… --update   writes what there is; `dynamic` of a kernel stays as it was, 0 for a new one
  budgets.py FILE… --table    prints a Markdown table with the occupancy per GPU architecture

`dynamic` is the most dynamic shared memory a launch of the kernel asks for, by hand: ptxas does not know it."""
import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import machine_code
from machine_code import RESERVED_SHARED, Unreadable

TABLE = Path(__file__).resolve().parents[2] / "kernels/cuda/budgets.txt"
HEAD = """\
# Budgets of the kernels, checked by tests/cuda/budgets.py and rewritten by its --update. Per architecture, as maxima:
# registers of a thread / bytes of static shared memory of a block / bytes of stack of a thread.
# threads: most in a block (launch bounds). dynamic: most bytes of dynamic shared memory that a launch asks for, by hand.
"""
MOST_SHARED = 99 * 1024  # what a block may have on sm_86, sm_89 and sm_120; others allow more


@dataclass
class Limits:  # of a multiprocessor (CUDA programming guide, compute capabilities)
    warps: int
    blocks: int
    shared: int
    registers: int = 65536


LIMITS = {80: Limits(64, 32, 164 * 1024), 86: Limits(48, 16, 100 * 1024), 89: Limits(48, 24, 100 * 1024),
          90: Limits(64, 32, 228 * 1024), 100: Limits(64, 32, 228 * 1024), 120: Limits(48, 24, 100 * 1024)}


def blocks_per_sm(architecture, threads, registers, shared):
    """shared: static and dynamic. Registers are dealt out to warps in units of 256 in four partitions, shared memory in
    units of 128 bytes."""
    limits = LIMITS[architecture]
    warps = -(-threads // 32)
    per_warp = -(-max(registers, 1) * 32 // 256) * 256
    warps_by_registers = limits.registers // 4 // per_warp * 4
    per_block = -(-(shared + RESERVED_SHARED) // 128) * 128
    return min(limits.blocks, limits.warps // warps, warps_by_registers // warps, limits.shared // per_block)


@dataclass
class Budget:
    threads: int
    dynamic: int
    limits: dict  # architecture: (registers, shared, stack)


def read_table(path):
    """(version of ptxas, {kernel: Budget})"""
    version, architectures, budgets = "?", [], {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split()
        if words[:2] == ["#", "ptxas"]:
            version = words[2]
        elif words[:2] == ["#", "kernel"]:
            architectures = [int(w.removeprefix("sm_")) for w in words[4:]]
        elif words and not line.startswith("#"):
            if len(words) != 3 + len(architectures):
                raise Unreadable(f"{path}:{number}: {len(words)} columns instead of {3 + len(architectures)}")
            cells = [tuple(map(int, w.split("/"))) for w in words[3:]]
            budgets[words[0]] = Budget(int(words[1]), int(words[2]), dict(zip(architectures, cells)))
    return version, budgets


def write_table(path, kernels, old):
    architectures = sorted({a for _, a in kernels})
    rows = [["# kernel", "threads", "dynamic"] + [f"sm_{a}" for a in architectures]]
    for name in sorted({n for n, _ in kernels}):
        of = [kernels.get((name, a)) for a in architectures]
        if None in of:
            raise Unreadable(f"{name}: not built for every architecture")
        threads = max(k.threads for k in of) or (old[name].threads if name in old else 0)
        rows.append([name, str(threads), str(old[name].dynamic if name in old else 0)] +
                    [f"{k.registers}/{k.shared}/{k.stack}" for k in of])
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    lines = [" ".join([r[0].ljust(widths[0])] + [w.rjust(n) for w, n in zip(r[1:], widths[1:])]) for r in rows]
    path.write_text(HEAD + f"# ptxas {machine_code.ptxas_version()}\n" + "\n".join(lines) + "\n")


def breaches_of(kernel, budget):
    limit = budget.limits.get(kernel.architecture)
    if not limit:
        return
    for what, is_now, most in zip(("registers", "bytes of static shared memory", "bytes of stack"),
                                  (kernel.registers, kernel.shared, kernel.stack), limit):
        if is_now > most:
            yield f"{kernel.name} on sm_{kernel.architecture}: {is_now} {what}, the budget is {most}"
    if kernel.threads and kernel.threads != budget.threads:
        yield f"{kernel.name}: launch bounds of {kernel.threads} threads, the table says {budget.threads}"


def breaches(kernels, version, budgets):
    """A sentence for each thing that is not as the table says."""
    now = machine_code.ptxas_version()
    if now != version:
        yield f"the budgets hold for ptxas {version}, this is {now}: look at what changed, then --update"
    for name, architecture in kernels:
        if name in budgets:
            yield from breaches_of(kernels[name, architecture], budgets[name])
    yield from (f"{name}: not in {TABLE.name}; --update adds it" for name in {n: 0 for n, _ in kernels} if name not in budgets)
    for name, budget in budgets.items():
        for architecture in budget.limits:
            if (name, architecture) not in kernels:
                yield f"{name}: in {TABLE.name}, but not built for sm_{architecture}"
        shared = budget.dynamic + max(limit[1] for limit in budget.limits.values())
        if not budget.threads:
            yield f"{name}: neither launch bounds nor `threads` in {TABLE.name}"
        if shared > MOST_SHARED:
            yield f"{name}: {shared} bytes of shared memory; sm_86, sm_89 and sm_120 have {MOST_SHARED}"


def occupancy(kernels, name, architecture, budget):
    """(blocks per multiprocessor, share of its warps). Not built for it: with the registers for the next older one."""
    kernel = kernels[name, max(a for n, a in kernels if n == name and a <= architecture)]
    blocks = blocks_per_sm(architecture, budget.threads, kernel.registers, kernel.shared + budget.dynamic)
    return blocks, blocks * -(-budget.threads // 32) / LIMITS[architecture].warps


def markdown(kernels, budgets):
    shown = [80, 86, 89, 90]
    built = sorted({a for _, a in kernels})
    yield f"| kernel | threads | registers ({', '.join(f'sm_{a}' for a in built)}) | shared memory, bytes | " + \
        " | ".join(f"sm_{a}: blocks, occupancy" for a in shown) + " |"
    yield "| --- |" + " ---: |" * (3 + len(shown))
    for name, budget in budgets.items():
        registers = ", ".join(str(kernels[name, a].registers) for a in built)
        shared = kernels[name, built[0]].shared + budget.dynamic
        cells = [occupancy(kernels, name, a, budget) for a in shown]
        yield f"| `{name}` | {budget.threads} | {registers} | {shared:,} | " + \
            " | ".join(f"{blocks}, {100 * share:.0f} %" for blocks, share in cells) + " |"


def main():
    parser = argparse.ArgumentParser(description="Budgets of the CUDA kernels.")
    parser.add_argument("files", metavar="FILE", type=Path, nargs="+", help="libopenlora_cuda.so, or objects")
    parser.add_argument("--in", dest="table_file", metavar="TABLE", type=Path, default=TABLE, help="the table [kernels/cuda/budgets.txt]")
    parser.add_argument("--update", action="store_true", help="write what there is into the table")
    parser.add_argument("--table", action="store_true", help="print a Markdown table with occupancy")
    options = parser.parse_args()
    try:
        kernels = machine_code.read_kernels(options.files)
        version, budgets = read_table(options.table_file) if options.table_file.exists() else ("?", {})
        if options.update:
            write_table(options.table_file, kernels, budgets)
            version, budgets = read_table(options.table_file)
        found = list(breaches(kernels, version, budgets))
    except Unreadable as e:
        sys.exit(f"budgets: {e}")
    for sentence in found:
        print(f"budgets: {sentence}", file=sys.stderr)
    if options.table and not found:
        print("\n".join(markdown(kernels, budgets)))
    elif not found:
        print(f"{len(budgets)} kernels within their budgets on {', '.join(f'sm_{a}' for a in sorted({a for _, a in kernels}))}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
