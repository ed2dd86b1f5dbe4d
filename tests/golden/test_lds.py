"""What tests/bench/lds judges with: rank correlations against their definition, solves against explicit inverses, the
projection against the one that test_influence.py holds the programs to."""
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench/retraining"))
import judge  # noqa: E402
import scores  # noqa: E402
import texts  # noqa: E402
from test_influence import sketch  # noqa: E402

OWNERS = np.arange(12) // 3


@pytest.fixture
def layers():
    rng = np.random.default_rng(1)
    return [[rng.normal(size=(n, k)) * np.exp(2 * rng.normal(size=(n, 1))) for k in (30, 20)] for n in (12, 3)]


def halves():
    some = [s for s in itertools.combinations(range(8), 4) if 0 in s]
    return np.array([[float(c in s) == side for c in range(8)] for s in some for side in (1, 0)], float)


def spearman(x, y):
    rank = lambda v: [(v < t).sum() + ((v == t).sum() + 1) / 2 for t in v]
    return np.corrcoef(rank(x), rank(y))[0, 1]


def test_rank_correlations_of_a_draw_are_spearmans():
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 5, (4, 70)).astype(float), rng.normal(size=(4, 70))
    weights = np.bincount(rng.integers(0, 35, 35), minlength=35).repeat(2)
    counted = np.repeat(np.arange(70), weights)
    got = judge.rank_correlations(judge.signs(x), judge.signs(y), weights.astype(float))
    assert np.allclose(got, [spearman(a[counted], b[counted]) for a, b in zip(x, y)], atol=1e-12)


def test_what_caused_the_truth_scores_one():
    effects, sets = np.random.default_rng(3).normal(size=(5, 8)), halves()
    j = judge.Judge(sets, effects @ sets.T, 20)
    assert np.allclose(j.per_query(j.predicted(effects)), 1) and np.allclose(j.per_query(j.predicted(-effects)), -1)
    assert np.allclose(j.drawn(effects), 1) and (j.per_query(j.predicted(np.zeros((5, 8)))) == 0).all()


def test_solves_are_those_of_inverses(layers):
    rows, queries = layers
    exact = datainf = 0
    assert (scores.norms(rows) > 3 * np.median(scores.norms(rows))).any()  # there is something to clip
    for g, clipped, q in zip(rows, scores.clipped(rows), queries):
        damping = lambda x: 0.1 * (x**2).sum() / x.size * np.eye(x.shape[1])
        exact = exact + q @ np.linalg.inv(clipped.T @ clipped / len(g) + damping(clipped)) @ clipped.T
        datainf = datainf + q @ np.mean([np.linalg.inv(np.outer(r, r) + damping(g)) for r in g], axis=0) @ g.T
    assert np.allclose(scores.exact(rows, queries, OWNERS), scores.by_owner(exact, OWNERS), rtol=1e-9)
    assert np.allclose(scores.datainf(rows, queries, OWNERS), scores.by_owner(datainf, OWNERS), rtol=1e-9)


def test_projections_are_the_programs(layers):
    rows, _ = layers
    got = scores.sketch(rows, 2**62 + 7, (8, 5))
    assert (got[4] == np.concatenate([sketch(2**62 + 7, s, l, 0, rows[l][4]) for l, s in enumerate((8, 5))])).all()


def test_texts_follow_from_the_seed():
    (data, queries), (again, _), (other, _) = (texts.contributors(seed, 8, 2) for seed in (1, 1, 2))
    assert data == again != other
    assert [len(rows) for rows in data] == [8] * 8 and len(queries) == 48
    taught = {r["messages"][2]["content"] for rows in data for r in rows}
    assert all((q.answer in taught) == (q.stratum == "verbatim") for q in queries)


def test_auc_counts_pairs():
    assert judge.auc([1, 2], [2, 3]) == (1 + 1 + 0.5 + 1) / 4
