"""Attacks on gradients: a small adapter of words trained on the demo's rows in numpy, its exact gradients, and the rule
of docs/attribution.md §3 (solve and integers of tests/golden/test_influence.py), parts of which can be switched off.

The model: two words before, as fixed random features, give the next of 192 words; the adapter adds h·A·B of rank 4. It
is trained once per seed, on the honest rows: what an attack gains here it gains by the rule, not by what training makes of
its rows. Vectors, κ and S₀ are made anew with the attacker's rows in them, as a policy would be."""
import random
import re
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from gaming_spans import ATTACKER, Source, free_text
from test_influence import reference, units

WORDS, FEATURES, RANK, STEPS, BATCH = 192, 48, 4, 400, 256
PPB = 10**9


@dataclass
class Policy:
    canonical: bool = True  # copies of an earlier row are left out
    clip: bool = True
    net: bool = True  # X_D nets what helps and harms within a Datanet
    floor: bool = True


def words_of(text):
    return re.findall(r"\w+|[^\w\s]", text.lower())


class Tiny:
    def __init__(self, sources, seed):
        rng = np.random.default_rng(seed)
        texts = [row for s in sources for row in s.rows]
        count = Counter(w for t in texts for w in words_of(t))
        self.ids = {w: i + 1 for i, (w, _) in enumerate(count.most_common(WORDS - 1))}
        self.embed = rng.normal(size=(2, WORDS, FEATURES // 2))
        everything = np.concatenate([self.encode(t) for t in texts + free_text()])
        self.bias = np.log(np.bincount(everything, minlength=WORDS) + 1.0)
        self.a, self.b = rng.normal(size=(FEATURES, RANK)) / FEATURES**0.5, np.zeros((RANK, WORDS))
        h, y = (np.concatenate(parts) for parts in zip(*(self.pairs(t) for t in texts)))
        move = [0, 0]
        for _ in range(STEPS):
            batch = rng.integers(len(y), size=BATCH)
            move = [0.9 * m + g / BATCH for m, g in zip(move, self.backward(h[batch], y[batch]))]
            self.a, self.b = self.a - 0.5 * move[0], self.b - 0.5 * move[1]
        self.b /= 2  # docs/attribution.md §3: half way from the base

    def encode(self, text):
        return np.array([self.ids.get(w, 0) for w in words_of(text)], int)

    def pairs(self, text):
        ids = self.encode(text)
        before = np.concatenate([[0, 0], ids])
        return np.tanh(np.concatenate([self.embed[0][before[1:-1]], self.embed[1][before[:-2]]], axis=1)), ids

    def backward(self, h, y):
        z = h @ self.a
        logits = z @ self.b + self.bias
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(len(y)), y] -= 1
        return h.T @ (p @ self.b.T), z.T @ p

    def gradient(self, text):
        return np.concatenate([g.ravel() for g in self.backward(*self.pairs(text))])


BLOCKS = (FEATURES * RANK, FEATURES * RANK + RANK * WORDS)


class Vectors:
    """û of every contributor in its Datanet."""

    def __init__(self, sources, gradient_of, policy):
        seen, phi, self.owners = set(), [], sorted({(s.datanet, s.owner) for s in sources})
        owner = []
        for s in sorted(sources, key=lambda s: s.time):
            for row in s.rows:
                if policy.canonical and row in seen:
                    continue
                seen.add(row)
                phi.append(gradient_of(row))
                owner.append(self.owners.index((s.datanet, s.owner)))
        phi, owner = np.array(phi), np.array(owner)
        norms = np.linalg.norm(phi, axis=1)
        if policy.clip:
            phi *= np.minimum(1, 3 * np.median(norms) / np.maximum(norms, 1e-12))[:, None]
        sums = np.array([phi[owner == c].sum(axis=0) for c in range(len(self.owners))])
        u = solved(phi, sums)
        self.values = np.rint(u * (2.0 ** np.floor(np.log2(32767 / np.abs(u).max())))).astype(np.int64)
        names = sorted({d for d, _ in self.owners})
        # Without netting each contributor is a Datanet of its own, and x_c is all that counts.
        self.keys = [(names.index(d) if policy.net else c, o) for c, (d, o) in enumerate(self.owners)]


def query_of(flat):
    return np.rint(32767 * flat / max(np.linalg.norm(flat), 1e-12)).astype(np.int64)


def calibrate(vectors, queries, nulls, policy):
    """κ in ppb by the nulls, S₀ by the queries, as docs/attribution.md §7 has it."""
    u, norms = vectors.values, np.maximum(np.linalg.norm(vectors.values.astype(float), axis=1), 1)
    largest = sorted(float((u @ q / norms).max() / np.linalg.norm(q)) for q in nulls)
    kappa = int(PPB * max(0.0, largest[min(len(nulls), -(-(len(nulls) + 1) * 995 // 1000)) - 1])) if policy.floor else 0
    totals = sorted(units(vectors.keys, u, q, kappa, 1, 1, 1)[1] for q in queries)
    return kappa, totals[len(totals) // 2]


def shares(vectors, queries, calibrated):
    """Per query {owner: share}, all of the answer being open. S₀ 0: the policy would have spans alone."""
    out = []
    if calibrated[1] == 0:
        return [Counter() for _ in queries]
    for q in queries:
        share = Counter()
        for (_, owner), row in zip(vectors.owners, units(vectors.keys, vectors.values, q, *calibrated, 1, 1)[0]):
            share[owner] += row[3] / PPB
        out.append(share)
    return out


def said(model, beginnings, adapter, seed, n=200):
    """What the model says, word by word, from the first two words of each text; adapter 0: without it, 2: with all of it
    (its B is halved)."""
    rng, names = np.random.default_rng(seed), {i: w for w, i in model.ids.items()} | {0: "qq"}
    ids = np.array([(list(model.encode(t)[:2]) + [0, 0])[:2] for t in beginnings])
    for _ in range(n):
        h = np.tanh(np.concatenate([model.embed[0][ids[:, -1]], model.embed[1][ids[:, -2]]], axis=1))
        logits = adapter * (h @ model.a @ model.b) + model.bias
        ids = np.column_stack([ids, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)])
    return [" ".join(names[i] for i in row[2:]) for row in ids.tolist()]


def other_texts(n, seed):
    rng = random.Random(seed)
    texts = [t for t in free_text() if len(words_of(t)) > 20]
    cut = lambda w: " ".join(w[(at := rng.randrange(len(w) - 18)):at + 18])
    return [cut(words_of(rng.choice(texts))) for _ in range(n)]


# ---- attacks that are only these vectors'

def solved(phi, b):
    """(F + λI)⁻¹ b, block by block."""
    first, out = 0, []
    for end in BLOCKS:
        form = "dual" if len(phi) < end - first else "primal"
        out.append(reference(form, phi[:, first:end], b[:, first:end]))
        first = end
    return np.concatenate(out, axis=1)


def harmful_rows(sources, gradient_of, queries, n, seed):
    """Of many pieces of other text those whose influence on the answers is least."""
    phi = np.array([gradient_of(row) for s in sources for row in s.rows])
    pull = solved(phi, np.mean(queries, axis=0, keepdims=True))[0]
    return sorted(other_texts(20 * n, seed), key=lambda text: float(gradient_of(text) @ pull))[:n]


def burdened(sources, rows):
    """The first contributor has rows besides that harm."""
    return [replace(sources[0], rows=sources[0].rows + rows)] + sources[1:]


def beside(sources, rows, datanet):
    """They are a newcomer's."""
    return sources + [Source(ATTACKER, 9000, rows, datanet)]


def outliers(sources, times):
    """The first contributor says the same many times within each row: a gradient as many times as long."""
    whole = sources[0]
    return [Source(ATTACKER, whole.time, [" ".join([row] * times) for row in whole.rows], whole.datanet)] + sources[1:]


def renamed(sources, times):
    """The first contributor's rows so many times under other questions, which this model does not see: rows that are
    not equal, with gradients that are."""
    return sources + [Source(ATTACKER, 9000, [row + " " * i for i in range(1, times + 1) for row in sources[0].rows],
                             sources[0].datanet)]
