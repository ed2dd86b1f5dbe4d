#!/usr/bin/env python3
"""docs/settlement-gas.svg from docs/settlement-gas.json, which is what `tests/bench/settle --json` printed.

    tests/bench/settle --json >docs/settlement-gas.json && tests/bench/gas_plot.py
"""
import json
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 360, 70, 20, 40, 50
BOUND, BOUND_PAYERS = 50, 12  # gas per receipt with so many repeat payers


def main():
    rows = [r for r in json.loads((DOCS / "settlement-gas.json").read_text()) if r["round"] > 1]
    receipts = rows[0]["receipts"]
    most_payers = max(r["payers"] for r in rows)
    top = -(-max(r["gas"] / receipts for r in rows) // 50) * 50

    def x(payers):
        return LEFT + payers / most_payers * (WIDTH - LEFT - RIGHT)

    def y(gas):
        return HEIGHT - BOTTOM - gas / top * (HEIGHT - TOP - BOTTOM)

    def line(points, style):
        return f'<polyline points="{" ".join(f"{x(p):.1f},{y(g):.1f}" for p, g in points)}" fill="none" {style}/>'

    def text(at_x, at_y, words, anchor="middle"):
        return f'<text x="{at_x:.1f}" y="{at_y:.1f}" text-anchor="{anchor}">{words}</text>'

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
           text(WIDTH / 2, 22, f"Gas per receipt of a batch of {receipts:,} receipts, by the number of its payers")]
    for gas in range(0, int(top) + 1, 50):
        out.append(line([(0, gas), (most_payers, gas)], 'stroke="#ddd"'))
        out.append(text(LEFT - 8, y(gas) + 4, gas, "end"))
    for r in rows:
        out.append(text(x(r["payers"]), HEIGHT - BOTTOM + 18, r["payers"] if r["payers"] != 3 else ""))
    out.append(text(LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 10, "payers, each claimed once"))
    out.append(line([(0, BOUND), (BOUND_PAYERS, BOUND), (BOUND_PAYERS, 0)], 'stroke="#c33" stroke-dasharray="4 3"'))
    out.append(text(x(BOUND_PAYERS / 2), y(BOUND) - 6, f"bound: {BOUND}"))
    out.append(line([(r["payers"], r["gas"] / receipts) for r in rows], 'stroke="#157" stroke-width="2"'))
    out.append(line([(r["payers"], r["submit_gas"] / receipts) for r in rows], 'stroke="#7a9" stroke-width="2"'))
    for r in rows:
        out.append(f'<circle cx="{x(r["payers"]):.1f}" cy="{y(r["gas"] / receipts):.1f}" r="3.5" fill="#157"/>')
    last = rows[-1]
    out.append(text(x(most_payers) - 8, y(last["gas"] / receipts) - 8, f"claims and batch: {last['gas'] / receipts:.0f}", "end"))
    out.append(text(x(most_payers) - 8, y(last["submit_gas"] / receipts) - 8, f"batch alone: {last['submit_gas'] / receipts:.1f}", "end"))
    (DOCS / "settlement-gas.svg").write_text("\n".join([*out, "</svg>"]) + "\n")


if __name__ == "__main__":
    main()
