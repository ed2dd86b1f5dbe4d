#!/usr/bin/env python3
"""Runs slither over forge's build and compares what it finds with what is known to be harmless (findings.json, with the
reason for each): a finding that is not there fails, and so does an entry that no longer matches anything. Needs slither in
PATH and a build with --build-info; works from the repository's root: analyse.py OUT_FOLDER."""
import json
import subprocess
import sys
from pathlib import Path

CONTRACTS = Path("chainlite/contracts")
KNOWN = Path(__file__).parent / "findings.json"


def place(result):
    """Contract.function or Contract.variable of the first element that is one."""
    for element in result["elements"]:
        parent = element.get("type_specific_fields", {}).get("parent", {})
        if element["type"] in ("function", "variable"):
            if parent.get("type") == "function":  # a local variable: name its function
                parent = parent["type_specific_fields"]["parent"]
            return f"{parent.get('name', '?')}.{element['name']}"
        if element["type"] == "contract":
            return element["name"]
    return "?"


def findings(out):
    command = ["slither", ".", "--ignore-compile", "--foundry-out-directory", out, "--filter-paths", "node_modules|test/",
               "--exclude-informational", "--exclude-optimization", "--json", "-"]
    done = subprocess.run(command, cwd=CONTRACTS, capture_output=True, text=True, check=False)
    try:
        report = json.loads(done.stdout)
    except json.JSONDecodeError:
        sys.exit(f"slither printed no report:\n{done.stderr[-4000:]}")
    if not report["success"]:
        sys.exit(f"slither failed: {report['error']}")
    return report["results"].get("detectors", [])


def main():
    known = {(entry["check"], entry["where"]): entry["why"] for entry in json.loads(KNOWN.read_text(encoding="utf-8"))}
    found = {}
    for result in findings(sys.argv[1]):
        found.setdefault((result["check"], place(result)), result["description"].strip())
    for key in sorted(found.keys() - known.keys()):
        print(f"NEW {key[0]} at {key[1]}\n{found[key]}\n")
    for key in sorted(known.keys() - found.keys()):
        print(f"GONE {key[0]} at {key[1]}: remove it from {KNOWN}")
    print(f"{len(found)} findings, {len(found.keys() & known.keys())} of them known to be harmless")
    return 1 if found.keys() != known.keys() else 0


if __name__ == "__main__":
    sys.exit(main())
