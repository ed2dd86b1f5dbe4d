#!/usr/bin/env python3
"""Does each kernel's own test notice when its kernel is wrong? Every mutant of mutants.ini changes one line of a kernel;
the emulated plugin is built with it, and the named test must fail.

    mutants.py --build build [--jobs 2] [NAME…]

A mutant:   [name]  file = kernels/cuda/X.cu   line = text that occurs in it once   becomes = what takes its place
            test = gpu_test_X [case …]   why = what breaks
The test of a mutant with `race = yes` is run by the ThreadSanitizer build (--tsan), whose emulator reports races.
"""
import argparse
import configparser
import json
import os
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "libopenlora_cuda_simt.so"
SECONDS = 240


def commands_of(build):
    """Of the plugin: {source: (object, compiler's words)} and the linker's words."""
    database = json.loads(subprocess.run(["ninja", "-C", build, "-t", "compdb"], check=True, capture_output=True,
                                         text=True).stdout)
    compiled = {Path(entry["file"]).resolve(): (entry["output"], shlex.split(entry["command"]))
                for entry in database if entry["file"].endswith(".cu") and entry["output"].endswith(".o")}
    link = next(entry["command"] for entry in database if entry["output"] == PLUGIN)
    return compiled, link


def mutated_text(mutant):
    text = (ROOT / mutant["file"]).read_text()
    count = text.count(mutant["line"])
    if count != 1:
        raise ValueError(f"the line occurs {count} times in {mutant['file']}")
    return text.replace(mutant["line"], mutant.get("becomes", ""))


def includers(header):
    """The kernels that include a header, by way of others too."""
    names, found = {header}, set()
    texts = {p: p.read_text() for p in (ROOT / "kernels/cuda").glob("*.cu*")}
    while True:
        more = {p for p, text in texts.items() if p not in found and any(f'"{n}"' in text for n in names)}
        if not more:
            return sorted(p for p in found if p.suffix == ".cu")
        found |= more
        names |= {str(p.relative_to(ROOT)) for p in more}


def build_plugin(build, mutant, folder):
    compiled, link = commands_of(build)
    changed = folder / mutant["file"]
    changed.parent.mkdir(parents=True)
    changed.write_text(mutated_text(mutant))
    kernels = [ROOT / mutant["file"]] if mutant["file"].endswith(".cu") else includers(mutant["file"])
    for kernel in kernels:
        output, words = compiled[kernel.resolve()]
        source = folder / kernel.relative_to(ROOT)
        if not source.exists():
            source.write_text(kernel.read_text())
        new = folder / (kernel.name + ".o")
        words = [str(new) if w == output else str(source) if Path(build, w).resolve() == kernel.resolve() else w
                 for w in words]
        first = next(i for i, w in enumerate(words) if w.startswith("-I"))
        words.insert(first, f"-I{folder}")  # before the tree's own headers
        subprocess.run(words, cwd=build, check=True, capture_output=True, text=True)
        link = link.replace(output, str(new))
    plugin = folder / PLUGIN
    link = link.replace(f"-o {PLUGIN}", f"-o {plugin}")
    subprocess.run(link, cwd=build, shell=True, check=True, capture_output=True, text=True)
    return plugin


def test_fails(build, mutant, plugin):
    """(whether it failed, its last lines)"""
    name, *case = mutant["test"].split()
    # The same data and order every time: whether a mutant is caught is no matter of chance.
    environment = {**os.environ, "OPENLORA_CUDA_PLUGIN": str(plugin), "OPENLORA_TEST_SEED": "1", "OPENLORA_SIMT_SEED": "1"}
    if case:
        environment["CK_RUN_CASE"] = case[0]
    try:
        run = subprocess.run([Path(build) / "tests" / name], cwd=ROOT, env=environment, text=True, timeout=SECONDS,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace")
    except subprocess.TimeoutExpired:
        return False, f"no answer in {SECONDS} s"
    lines = [line for line in run.stdout.strip().split("\n") if line]
    return run.returncode != 0, "\n".join(lines[-3:])


def try_mutant(name, mutant, options):
    build = str(Path(options.tsan if mutant.getboolean("race", False) else options.build).resolve())
    with tempfile.TemporaryDirectory(prefix="openlora-mutant-") as folder:
        try:
            plugin = build_plugin(build, mutant, Path(folder))
        except subprocess.CalledProcessError as failed:
            return name, False, f"it does not build: {failed.stderr[-600:]}"
        except (ValueError, KeyError) as wrong:
            return name, False, f"the list is out of date: {wrong}"
        failed, tail = test_fails(build, mutant, plugin)
    return name, failed, tail


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--tsan", default="build/tsan")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    mutants = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    mutants.read(ROOT / "tests/gpu/mutants.ini")
    names = options.names or mutants.sections()
    survived = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for name, caught, tail in pool.map(lambda n: try_mutant(n, mutants[n], options), names):
            survived += not caught
            print(f"{'caught  ' if caught else 'SURVIVED'}  {name}: {mutants[name]['why']}", flush=True)
            if not caught:
                print("    " + tail.replace("\n", "\n    "))
    print(f"{len(names) - survived} of {len(names)} mutants caught")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
