"""Poisoned contributors and canaries: what scores must notice that retraining on halves does not ask."""
import numpy as np

import scores
import texts
from judge import auc, interval
from programs import Policy, half_way, nulls

BAD, ROUNDS = 3, 4  # poisoned contributors of eight; trainings with other texts and other culprits
AUC_BAR = 0.8


def net_influence(model, here, data, examples, seed):
    """(contributors) mean influence on the examples, and what leaving a contributor out of training costs them."""
    adapter = model.train([r for rows in data for r in rows], here / "all", seed)
    half = half_way(adapter, here / "half")
    drawn_by, sizes, u = Policy(model, data, here / "policy", adapter).vectors()
    v = scores.queries_quantized(scores.sketch(model.gradients(half, examples), drawn_by, sizes)).astype(float)
    with_all, without = model.log_likelihoods(adapter, examples).mean(), []
    for c in range(texts.CONTRIBUTORS):
        rest = [r for other, rows in enumerate(data) if other != c for r in rows]
        without.append(model.log_likelihoods(model.train(rest, here / f"without-{c}", seed), examples).mean())
    return (v @ u.T.astype(float)).mean(0), with_all - np.array(without)


def found(net, culprits):
    """AUC over all trainings; each has a scale of its own."""
    net = [(x - x.mean()) / x.std() for x in net]
    bad = [float(x[c]) for x, these in zip(net, culprits) for c in these]
    good = [float(x[c]) for x, these in zip(net, culprits) for c in range(texts.CONTRIBUTORS) if c not in these]
    rng = np.random.default_rng(1)
    drawn = [auc(rng.choice(bad, len(bad)), rng.choice(good, len(good))) for _ in range(2000)]
    return {"auc": auc(bad, good), "interval": interval(drawn), "poisoned": len(bad), "clean": len(good)}


def poison(model, folder, seed, a):
    """AUC of the net influence on true answers, poisoned against clean contributors, over several trainings. Beside it
    that of leaving one out and training again: no score can find harm that is not there."""
    result = {"bar": AUC_BAR}
    for kind in ("false", "scrambled"):
        influences, retrained, culprits = [], [], []
        for number in range(ROUNDS):
            these = sorted(np.random.default_rng(number).choice(texts.CONTRIBUTORS, BAD, replace=False).tolist())
            data, queries = texts.poisoned(kind, number, a.rows, these, 12)
            examples = model.encode([(q.question, q.answer) for q in queries])
            net, left_out = net_influence(model, folder / f"{kind}-{number}", data, examples, seed)
            influences.append(net)
            retrained.append(left_out)
            culprits.append(these)
        result[kind] = {"influence": found(influences, culprits), "leave one out": found(retrained, culprits)}
        result[kind]["met"] = result[kind]["influence"]["auc"] >= AUC_BAR
    return result


def credited(policy, examples, owners, tau):
    """Answers whose own contributor gets the most span tokens, and the part of all tokens that it gets."""
    owned, _ = policy.spans(examples, tau)
    right = owned[np.arange(len(examples)), owners]
    first = (owned.argmax(1) == owners) & (right > 0)
    return int(first.sum()), float(right.sum() / sum(len(e.answer) for e in examples))


def canaries(model, folder, seed, a, each=38, learnt=3, epochs=120):
    """Replayed: the words as they stand. Memorised: those that an adapter trained for long says by itself."""
    data = texts.canaries(seed, each)
    owners = np.repeat(np.arange(texts.CONTRIBUTORS), each)
    pairs = [(r["messages"][1]["content"], r["messages"][2]["content"]) for rows in data for r in rows]
    policy = Policy(model, data, folder / "policy")
    tau = policy.tau(model.encode(nulls(a.nulls)))
    replayed, covered = credited(policy, model.encode(pairs), owners, tau)
    adapter = model.train([r for rows in data for r in rows[:learnt]], folder / "all", seed, epochs=epochs)
    picked = [c * each + i for c in range(texts.CONTRIBUTORS) for i in range(learnt)]
    said = model.answers(adapter, [pairs[i][0] for i in picked], tokens=64)
    known = [(i, answer) for i, answer in zip(picked, said) if answer.strip() == pairs[i][1]]
    result = {"replayed": len(pairs), "replayed_credited": replayed, "replayed_tokens": covered, "learnt": len(picked),
              "memorised": len(known), "tau_millibits": tau}
    if known:
        examples = model.encode([(pairs[i][0], answer) for i, answer in known])
        result["memorised_credited"], result["memorised_tokens"] = credited(
            policy, examples, owners[[i for i, _ in known]], tau)
    return result
