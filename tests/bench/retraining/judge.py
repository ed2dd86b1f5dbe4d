"""The linear datamodelling score and how sure it is.

Per query, the Spearman correlation over retrained sets of contributors between what a score predicts of a set, the sum
over its members, and the answer's mean ln p after training on it; then the mean over queries. The bootstrap
draws complementary pairs of sets and queries anew, the same ones for all scores."""
import numpy as np


def signs(x):
    """(queries, sets, sets): who is above whom."""
    return np.sign(x[:, :, None] - x[:, None, :])


def rank_correlations(a, b, weights):
    """Spearman per query, every set counted weights times; a, b: (queries, sets, sets) of signs. 0 where all are equal."""
    x, y = a @ weights, b @ weights
    product = lambda p, q: (p * q * weights).sum(1) / weights.sum()
    norm = np.sqrt(product(x, x) * product(y, y))
    return np.where(norm > 0, product(x, y) / np.where(norm > 0, norm, 1), 0)


class Judge:
    def __init__(self, sets, truth, draws=1000, seed=1):
        """sets (sets, contributors) of 0 and 1, complements next to each other; truth (queries, sets)."""
        self.sets, self.truth = np.asarray(sets, float), signs(truth)
        rng = np.random.default_rng(seed)
        pairs, queries = len(sets) // 2, len(truth)
        self.draws = [(np.bincount(rng.integers(0, pairs, pairs), minlength=pairs).repeat(2).astype(float),
                       np.bincount(rng.integers(0, queries, queries), minlength=queries)) for _ in range(draws)]

    def per_query(self, predicted, weights=None):
        weights = np.ones(len(self.sets)) if weights is None else weights
        return rank_correlations(predicted, self.truth, weights)

    def predicted(self, scores):
        return signs(np.round(scores @ self.sets.T / max(np.abs(scores).max(), 1e-300), 12))

    def drawn(self, scores):
        """The score in every draw of the bootstrap."""
        p = self.predicted(scores)
        return np.array([self.per_query(p, w) @ q / q.sum() for w, q in self.draws])


def interval(values):
    return [float(x) for x in np.percentile(values, [2.5, 97.5])]


def auc(bad, good):
    """How often one of `bad` is below one of `good`."""
    bad, good = np.asarray(bad)[:, None], np.asarray(good)[None, :]
    return float(((bad < good) + 0.5 * (bad == good)).mean())
