"""Scores of contributors for answers, by the rule under test and by what it is compared with. Each is an array
(queries, contributors); a set of contributors has the sum of theirs."""
import re
from collections import Counter
from math import log

import numpy as np

DAMPING, CLIP_MEDIANS = 0.1, 3.0


# ---- words

def words(text):
    return re.findall(r"\w+", text.lower())


def bm25(documents, owners, queries, k1=1.2, b=0.75):
    """Sum, mean and maximum over a contributor's documents."""
    docs = [Counter(words(d)) for d in documents]
    lengths = np.array([sum(d.values()) for d in docs])
    df = Counter(w for d in docs for w in d)
    scores = np.zeros((len(queries), len(docs)))
    for i, query in enumerate(queries):
        for w in set(words(query)):
            idf = log(1 + (len(docs) - df[w] + 0.5) / (df[w] + 0.5))
            tf = np.array([d[w] for d in docs])
            scores[i] += idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * lengths / lengths.mean()))
    by = [scores[:, owners == c] for c in range(owners.max() + 1)]
    return {f"BM25, {name}": np.stack([f(s, axis=1) for s in by], 1)
            for name, f in (("sum", np.sum), ("mean", np.mean), ("max", np.max))}


# ---- gradients: lists of (rows, numbers), one per layer

def by_owner(x, owners):
    return np.stack([x[:, owners == c].sum(1) for c in range(owners.max() + 1)], 1)


def norms(layers):
    return np.sqrt(sum((x.astype(float)**2).sum(1) for x in layers))


def clipped(layers):
    size = norms(layers)
    return [x * np.minimum(1, CLIP_MEDIANS * np.median(size) / size)[:, None] for x in layers]


def gradient_dot(rows, queries, owners):
    return by_owner(sum(q.astype(float) @ g.T for q, g in zip(queries, rows)), owners)


def datainf(rows, queries, owners):
    out = 0
    for g, q in zip(rows, queries):
        g, n = g.astype(float), len(g)
        inner, cross = g @ g.T, q.astype(float) @ g.T
        damping = DAMPING * np.trace(inner) / n / g.shape[1]
        out = out + (cross - cross / (damping + np.diag(inner)) @ inner / n) / damping
    return by_owner(out, owners)


def exact(rows, queries, owners):
    """The damped solve per layer, of clipped rows, without a projection: the dual form."""
    out = 0
    for g, q in zip(clipped(rows), queries):
        n = len(g)
        inner, cross = g @ g.T, q.astype(float) @ g.T
        damping = DAMPING * np.trace(inner) / n / g.shape[1]
        inverse = np.linalg.solve(inner + n * damping * np.eye(n), cross.T)
        out = out + (cross - (inner @ inverse).T) / damping
    return by_owner(out, owners)


# ---- the projection, as docs/attribution.md §3 has it

def mix(x):
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)


def sketch(layers, seed, sizes):
    """(rows, K)"""
    odd, out = np.uint64(0x9E3779B97F4A7C15), []
    for l, (x, size) in enumerate(zip(layers, sizes)):
        with np.errstate(over="ignore"):
            key = mix(np.array([np.uint64(seed) + odd * np.uint64(l + 1)]))
            h = mix(key + odd * np.arange(1, x.shape[1] + 1, dtype=np.uint64))
        place = ((h >> np.uint64(32)) * np.uint64(size) >> np.uint64(32)).astype(np.int64)
        sign = np.where(h & np.uint64(1), -1.0, 1.0)
        out.append(np.stack([np.bincount(place, weights=row * sign, minlength=size) for row in x]))
    return np.concatenate(out, 1)


def queries_quantized(v):
    """v̂: normalised, int16; an answer without an open token has none, here zeros."""
    length = np.linalg.norm(v, axis=1, keepdims=True)
    return np.rint(np.clip(v / np.where(length > 0, length, 1) * 2**15, -32767, 32767)).astype(np.int16)
