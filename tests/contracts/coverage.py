#!/usr/bin/env python3
"""Coverage of the contracts by their tests, from forge's lcov file: coverage.py LCOV LEAST_PERCENT. Names every line and
branch that no test reached; exit status 1 if a file has fewer lines or branches covered than the least."""
import sys
from collections import defaultdict


def read(path):
    """{file: (covered lines, all lines, covered branches, all branches)} and the misses as FILE:LINE."""
    counts, misses, name = defaultdict(lambda: [0, 0, 0, 0]), [], None
    with open(path, encoding="utf-8") as lines:
        for record in lines:
            kind, _, rest = record.strip().partition(":")
            if kind == "SF":
                name = rest
            elif kind in ("DA", "BRDA"):
                place, first = rest.split(","), 0 if kind == "DA" else 2
                hit = place[-1 if kind == "BRDA" else 1] not in ("0", "-")
                counts[name][first] += hit
                counts[name][first + 1] += 1
                if not hit:
                    misses.append(f"{name}:{place[0]}: {'line' if kind == 'DA' else 'branch ' + place[2]} not covered")
    return counts, misses


def main():
    path, least = sys.argv[1], float(sys.argv[2])
    counts, misses = read(path)
    print("\n".join(misses))
    failed = not counts
    for name, (lines, all_lines, branches, all_branches) in sorted(counts.items()):
        percent = [100 * lines / all_lines, 100 * branches / all_branches if all_branches else 100]
        low = min(percent) < least
        failed |= low
        print(f"{name}: lines {percent[0]:.1f} %, branches {percent[1]:.1f} %{'  too few' if low else ''}")
    total = [sum(column) for column in zip(*counts.values())] or [0, 1, 0, 1]
    print(f"total: lines {100 * total[0] / total[1]:.2f} %, branches {100 * total[2] / total[3]:.2f} %")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
