"""The gradient side of attribution against numpy in float64 and Python's own integers (docs/attribution.md §3, §4).

The integers must be equal, the solves within 1e-10 of numpy's: exact block by LU, dual and DataInf by their formulas.
vectors.bin is written here from its description alone.
"""
import random
import struct
import subprocess
from fractions import Fraction
from math import isqrt
from pathlib import Path

import numpy as np
import pytest

TOOL = Path("build/tests/influence_dump")
PPB = 10**9
M64 = 2**64 - 1


def tool(*words, given=b""):
    done = subprocess.run([TOOL, *map(str, words)], input=given, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


# ---- vectors.bin and the integers

def vectors_bytes(owners, values, blocks, seed=7, exponent=3, clip=2.5):
    out = struct.pack("<8sIIQiId", b"OLVECTR1", sum(blocks), len(blocks), seed, exponent, len(owners), clip)
    out += struct.pack(f"<{len(blocks)}I", *blocks)
    for datanet, address in owners:
        out += struct.pack("<I", datanet) + address
    return out + np.asarray(values, "<i2").tobytes()


def divide(units, weights):
    """Largest remainder, ties to the lower index."""
    total = sum(weights)
    if total == 0:
        return [0] * len(weights)
    exact = [Fraction(units * w, total) for w in weights]
    out = [int(x) for x in exact]
    order = sorted(range(len(weights)), key=lambda i: (out[i] - exact[i], i))
    for i in order[:units - sum(out)]:
        out[i] += 1
    return out


def units(owners, values, query, kappa, s0, tokens, open_tokens):
    query = [int(q) for q in query]
    dot = lambda a, b: sum(x * y for x, y in zip(a, b))
    rows, square = [], dot(query, query)
    for u in values:
        u = [int(x) for x in u]
        influence, norms = dot(query, u), isqrt(square * dot(u, u))
        floor = -(-kappa * norms // PPB)
        cosine = min(PPB, -(-PPB * influence // norms)) if influence > 0 and norms else 0
        rows.append([influence, floor, max(0, influence - floor), 0, cosine])
    datanets = sorted({d for d, _ in owners})
    members = {d: [c for c, o in enumerate(owners) if o[0] == d] for d in datanets}
    totals = [min(sum(rows[c][2] for c in members[d]), max(0, sum(rows[c][0] for c in members[d]))) for d in datanets]
    total = sum(totals)
    granted = PPB * open_tokens * min(total, s0) // (tokens * s0)
    for d, part in zip(datanets, divide(granted, totals)):
        for c, share in zip(members[d], divide(part, [rows[c][2] for c in members[d]])):
            rows[c][3] = share
    return rows, total, granted


def random_case(rng):
    blocks = [rng.randint(1, 9) for _ in range(rng.randint(1, 5))]
    k = sum(blocks)
    owners = sorted({(rng.randint(0, 3), rng.randbytes(20)) for _ in range(rng.randint(1, 12))})
    span = rng.choice([1, 3, 300, 32767])
    values = [[rng.randint(-span, span) for _ in range(k)] for _ in owners]
    if rng.random() < 0.5:  # copies make ties of weights
        values[-1] = values[0]
    queries = []
    for _ in range(8):
        query = [rng.randint(-span, span) for _ in range(k)]
        if rng.random() < 0.3:
            query = list(rng.choice(values))
        tokens = rng.choice([1, 7, 450, 2**32 - 1])
        queries.append((query, rng.choice([0, 1, 10**7, 5 * 10**8, PPB]), rng.choice([1, 1000, 10**9, 2**64 - 1]),
                        tokens, rng.randint(0, tokens)))
    return owners, values, blocks, queries


def test_units_are_pythons(tmp_path):
    rng, file = random.Random(1), tmp_path / "vectors.bin"
    paid = 0
    for _ in range(120):
        owners, values, blocks, queries = random_case(rng)
        file.write_bytes(vectors_bytes(owners, values, blocks))
        text = "\n".join(f"{kappa} {s0} {t} {u} " + " ".join(map(str, q)) for q, kappa, s0, t, u in queries)
        got = iter(tool("units", file, given=text.encode()).decode().splitlines())
        for query, kappa, s0, t, u in queries:
            rows, total, granted = units(owners, values, query, kappa, s0, t, u)
            assert [list(map(int, next(got).split())) for _ in owners] == rows
            assert next(got) == f"{total} {granted}"
            assert sum(r[3] for r in rows) == granted
            paid += granted > 0
    assert paid > 200  # the cases say something


def test_the_largest_integers(tmp_path):
    """4,096 dimensions of the greatest values: nothing wraps."""
    file, k = tmp_path / "vectors.bin", 4096
    owners = [(0, bytes([1] * 20)), (0, bytes([2] * 20)), (1, bytes([1] * 20))]
    values = [[32767] * k, [-32767] * (k - 1) + [1], [32767] * k]
    file.write_bytes(vectors_bytes(owners, values, [1] * 1000 + [96, 3000]))
    for query in ([32767] * k, [-32767] * k):
        out = tool("units", file, given=f"1 {2**63} {2**32 - 1} {2**32 - 1} {' '.join(map(str, query))}".encode())
        rows, total, granted = units(owners, values, query, 1, 2**63, 2**32 - 1, 2**32 - 1)
        assert out.decode().split() == [str(x) for r in rows for x in r] + [str(total), str(granted)]


def test_division_is_pythons():
    rng, cases = random.Random(2), []
    for _ in range(400):
        n, top = rng.randint(1, 40), rng.choice([1, 2, 10, 2**40, 2**64 - 1])
        cases.append((rng.choice([0, 1, 7, 999_999_999, PPB]), [rng.randint(0, top) for _ in range(n)]))
    text = "\n".join(f"{whole} {len(w)} " + " ".join(map(str, w)) for whole, w in cases)
    got = tool("divide", given=text.encode()).decode().splitlines()
    assert [list(map(int, line.split())) for line in got] == [divide(*case) for case in cases]


@pytest.mark.parametrize("fault", ["magic", "long", "short", "order", "twice", "zero", "value", "blocks", "clip"])
def test_bad_files_are_refused(tmp_path, fault):
    owners, values = [(0, b"a" * 20), (1, b"a" * 20)], [[1, 2, 3], [4, 5, 6]]
    if fault == "order":
        owners = owners[::-1]
    elif fault == "twice":
        owners[1] = owners[0]
    elif fault == "zero":
        owners[0] = (0, bytes(20))
    elif fault == "value":
        values[1][2] = -32768
    data = bytearray(vectors_bytes(owners, values, [3, 0] if fault == "blocks" else [1, 2],
                                   clip=float("nan") if fault == "clip" else 1.0))
    if fault == "magic":
        data[7] ^= 1
    elif fault == "long":
        data += b"\0"
    elif fault == "short":
        del data[-1]
    (tmp_path / "vectors.bin").write_bytes(data)
    done = subprocess.run([TOOL, "units", tmp_path / "vectors.bin"], input="", capture_output=True, text=True)
    assert done.returncode == 1 and "vectors.bin: " in done.stderr


# ---- the solves

def reference(form, phi, b):
    """(m, k) by the formula, in float64."""
    n, k = phi.shape
    damping = 0.1 * (phi**2).sum() / n / k
    if form == "datainf":
        weights = (b @ phi.T) / (damping + (phi**2).sum(axis=1))
        return (b - weights @ phi / n) / damping
    if form == "dual":
        inner = n * damping * np.eye(n) + phi @ phi.T
        return (b - np.linalg.solve(inner, phi @ b.T).T @ phi) / damping
    return np.linalg.solve(phi.T @ phi / n + damping * np.eye(k), b.T).T


@pytest.mark.parametrize("n,k", [(1, 1), (5, 3), (3, 5), (40, 40), (160, 136), (60, 200)])
@pytest.mark.parametrize("form", ["primal", "dual", "by_size", "datainf"])
def test_solves_are_numpys(form, n, k):
    rng = np.random.default_rng(n * 1000 + k)
    # Rows in a few directions, of sizes apart, as gradients are.
    phi = rng.normal(size=(n, 4)) @ rng.normal(size=(4, k)) + 0.1 * rng.normal(size=(n, k))
    phi *= np.exp(rng.normal(size=(n, 1)))
    b = np.vstack([phi[: max(1, n // 2)].sum(axis=0), rng.normal(size=(3, k))])
    out = np.frombuffer(tool("solve", form, n, k, len(b), given=phi.tobytes() + b.tobytes())).reshape(b.shape)
    for want in [reference(form, phi, b)] + ([] if form == "datainf" else [reference("primal", phi, b)]):
        assert np.abs(out - want).max() <= 1e-10 * np.abs(want).max()


def test_datainf_is_another_answer():
    """A solve that silently took the cheaper way would pass its own formula only."""
    rng = np.random.default_rng(3)
    phi, b = rng.normal(size=(50, 20)), rng.normal(size=(1, 20))
    exact = np.frombuffer(tool("solve", "by_size", 50, 20, 1, given=phi.tobytes() + b.tobytes()))
    assert np.abs(exact - reference("datainf", phi, b)).max() > 1e-3 * np.abs(exact).max()


def test_no_gradient_has_no_influence():
    out = np.frombuffer(tool("solve", "by_size", 4, 3, 1, given=np.zeros(15).tobytes()))
    assert (out == 0).all()


# ---- the sketch

def mix(x):
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & M64
    x = (x ^ x >> 27) * 0x94D049BB133111EB & M64
    return x ^ x >> 31


def sketch(seed, dimensions, block, first, values):
    odd, out = 0x9E3779B97F4A7C15, np.zeros(dimensions)
    key = mix((seed + odd * (block + 1)) & M64)
    for i, value in enumerate(values):
        h = mix((key + odd * (first + i + 1)) & M64)
        out[(h >> 32) * dimensions >> 32] += -float(value) if h & 1 else float(value)
    return out


@pytest.mark.parametrize("seed,blocks,budget,block,first", [(0, 1, 8, 0, 0), (2**64 - 1, 30, 4096, 29, 2**33)])
def test_sketches_are_equal(seed, blocks, budget, block, first):
    values = np.random.default_rng(4).normal(size=3000).astype(np.float32)
    out = np.frombuffer(tool("sketch", seed, blocks, budget, block, first, given=values.tobytes()))
    assert (out == sketch(seed, budget // blocks, block, first, values)).all()


def test_sketches_keep_dot_products():
    """Mean and spread over seeds as CountSketch promises: exact on average, variance about |x|²|y|² / dimensions."""
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(2, 2000)).astype(np.float32)
    y += x / 2
    got = []
    for seed in range(60):
        a, b = (np.frombuffer(tool("sketch", seed, 1, 128, 0, 0, given=v.tobytes())) for v in (x, y))
        got.append(float(a @ b))
    spread = float(np.linalg.norm(x) * np.linalg.norm(y)) / 128**0.5
    assert abs(np.mean(got) - float(x @ y)) < 4 * spread / 60**0.5
    assert 0.6 * spread < np.std(got) < 1.6 * spread
