"""Judges attribution by retraining: see tests/bench/lds --help."""
import argparse
import itertools
import json
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import extras
import scores
import texts
from judge import Judge, interval, signs
from programs import BUILD, Model, Policy, half_way, nulls

DEFAULT_MODEL = "~/.cache/openlora/SmolLM2-135M-Instruct.Q4_1.gguf"
PROJECTION_BAR, DATAINF_MARGIN = 0.02, 0.03


def halves(seed):
    """All 70 halves of the contributors as 35 complementary pairs, in an order drawn by the seed."""
    everyone = set(range(texts.CONTRIBUTORS))
    pairs = [(set(s), everyone - set(s)) for s in itertools.combinations(range(texts.CONTRIBUTORS), 4) if 0 in s]
    random.Random(seed).shuffle(pairs)
    return pairs


class Experiment:
    """One model, its contributors' rows, queries, and the adapter that learnt from all."""

    def __init__(self, model, folder, seed, a):
        self.model, self.folder, self.seed, self.a = model, folder, seed, a
        self.data, self.queries = texts.contributors(seed, a.rows, a.queries)
        self.owners = np.repeat(np.arange(texts.CONTRIBUTORS), a.rows)
        self.rows = [r for rows in self.data for r in rows]
        self.adapter = model.train(self.rows, folder / "all", seed)
        self.half = half_way(self.adapter, folder / "half")
        self.add_own_answers()
        self.examples = model.encode([(q.question, q.answer) for q in self.queries])

    def add_own_answers(self):
        """What the adapter itself answers to the same questions: as many queries again."""
        file = self.folder / "own.json"
        if not file.exists():
            answers = self.model.answers(self.adapter, [q.question for q in self.queries])
            file.write_text(json.dumps(answers, indent=1))
        own = json.loads(file.read_text())
        self.queries += [texts.Query(q.stratum, q.contributor, q.question, answer, True)
                         for q, answer in zip(self.queries, own) if answer.strip()]

    def retrain(self, members, seed):
        """Mean ln p of all queries' answers after training on these contributors."""
        name = f"{seed}-" + "".join(map(str, sorted(members)))
        file = self.folder / "runs" / f"{name}.json"
        if not file.exists():
            adapter = self.model.train([r for c in sorted(members) for r in self.data[c]], self.folder / "runs" / name, seed)
            file.write_text(json.dumps(self.model.log_likelihoods(adapter, self.examples).tolist()))
        return json.loads(file.read_text())

    def retrain_all(self, deadline):
        """(sets, truth (seeds, queries, sets)) of the pairs of which all runs are done before the deadline."""
        sets, truth = [], []
        with ThreadPoolExecutor(self.a.jobs) as pool:
            for number, pair in enumerate(halves(self.seed)[:self.a.pairs]):
                if time.time() > deadline:
                    break
                work = [(members, seed) for seed in range(1, self.a.seeds + 1) for members in pair]
                done = list(pool.map(lambda w: self.retrain(*w), work))
                sets += pair
                truth.append(np.array(done).reshape(self.a.seeds, 2, -1))
                print(f"{self.folder.name}: pair {number + 1} of {self.a.pairs} retrained", file=sys.stderr)
        if not sets:
            raise SystemExit("no pair of halves was retrained within the budget; what is done is kept, run it again")
        members = np.array([[float(c in s) for c in range(texts.CONTRIBUTORS)] for s in sets])
        return members, np.concatenate(truth, 1).transpose(0, 2, 1)


def our_scores(x):
    """Spans and gradients as a policy pays them, and the influence before any floor, from the programs themselves."""
    m, policy = x.model, Policy(x.model, x.data, x.folder / "policy", x.adapter)
    strangers = m.encode(nulls(x.a.nulls))
    tau = policy.tau(strangers)
    owned, opened = policy.spans(x.examples, tau)
    spans = owned.sum()
    seed, sizes, u = policy.vectors()

    def vectors(examples, open_tokens):
        for e, o in zip(examples, open_tokens):
            e.open = o
        kept = [i for i, e in enumerate(examples) if any(e.open)]
        v = np.zeros((len(examples), sum(sizes)), np.int16)
        v[kept] = scores.queries_quantized(scores.sketch(m.gradients(x.half, [examples[i] for i in kept]), seed, sizes))
        return v

    v = vectors(x.examples, opened)
    null = vectors(strangers[:24], policy.spans(strangers[:24], tau)[1])
    tokens, open_tokens = [len(e.answer) for e in x.examples], [sum(o) for o in opened]
    kappa = int(policy.units(null, 0, 1, [1] * len(null), [1] * len(null))[0][:, :, 4].max())
    owned /= np.array(tokens)[:, None]

    def units(kappa_ppb):
        """Shares with S₀ the median X of the adapter's own answers to questions of its kind, as calibration takes it."""
        totals = policy.units(v, kappa_ppb, 1, tokens, open_tokens)[1]
        s0 = max(1, int(np.median([t for t, q in zip(totals, x.queries) if q.own and q.stratum == "style"])))
        return owned + policy.units(v, kappa_ppb, s0, tokens, open_tokens)[0][:, :, 3] / 1e9, s0

    shares, s0 = units(kappa)
    pinned = {"tau_millibits": tau, "kappa_ppb": kappa, "s0": s0, "nulls": len(null),
              "span_tokens": int(spans), "answer_tokens": int(sum(tokens))}
    for e in x.examples:
        e.open = None
    return ({"spans and gradients, units": shares, "units without a floor": units(0)[0], "spans alone": owned}, pinned,
            (seed, sizes, u))


def all_scores(x):
    """{name: (queries, contributors)}: ours and what it is compared with."""
    ours, pinned, (seed, sizes, u) = our_scores(x)
    rows = x.model.encode_rows(x.rows)
    at = {"end": x.adapter, "half": x.half}
    g = {k: x.model.gradients(adapter, rows) for k, adapter in at.items()}
    v = {k: x.model.gradients(adapter, x.examples) for k, adapter in at.items()}
    projected = scores.queries_quantized(scores.sketch(v["half"], seed, sizes)).astype(float)
    out = {**ours, "influence I_c": projected @ u.T.astype(float),
           "influence, not projected": scores.exact(g["half"], v["half"], x.owners)}
    for k in at:
        out[f"DataInf, {k}"] = scores.datainf(g[k], v[k], x.owners)
        out[f"gradient dot, {k}"] = scores.gradient_dot(g[k], v[k], x.owners)
    out["influence, not projected, end"] = scores.exact(g["end"], v["end"], x.owners)
    text = lambda r: r["messages"][1]["content"] + " " + r["messages"][2]["content"]
    out |= scores.bm25([text(r) for r in x.rows], x.owners, [f"{q.question} {q.answer}" for q in x.queries])
    out["random"] = np.random.default_rng(x.seed).normal(size=(len(x.queries), texts.CONTRIBUTORS))
    return out, pinned


def table(j, named, queries):
    kinds = {s: [i for i, q in enumerate(queries) if q.stratum == s] for s in texts.STRATA}
    kinds |= {"own": [i for i, q in enumerate(queries) if q.own], "given": [i for i, q in enumerate(queries) if not q.own]}
    out, drawn = {}, {}
    for name, score in named.items():
        each = j.per_query(j.predicted(score))
        drawn[name] = j.drawn(score)
        out[name] = {"lds": float(each.mean()), "interval": interval(drawn[name]),
                     **{k: float(each[i].mean()) for k, i in kinds.items() if i}}
    return out, drawn


def comparisons(scored, drawn):
    best = lambda prefix: max((n for n in scored if n.startswith(prefix)), key=lambda n: scored[n]["lds"])
    out = []

    def compare(ours, theirs, bar):
        d = drawn[ours] - drawn[theirs]
        low, high = interval(d)
        out.append({"ours": ours, "theirs": theirs, "difference": scored[ours]["lds"] - scored[theirs]["lds"],
                    "interval": [low, high], "bar": bar, "met": bool(low > bar)})
    for ours in ("spans and gradients, units", "influence I_c"):
        compare(ours, best("BM25"), 0.0)
        compare(ours, "gradient dot, end", 0.0)
        compare(ours, "gradient dot, half", 0.0)
    compare("influence, not projected", "influence, not projected, end", 0.0)  # half way against where training ended
    compare("influence, not projected", best("DataInf"), -DATAINF_MARGIN)
    compare("influence I_c", best("DataInf"), -DATAINF_MARGIN)
    loss = scored["influence, not projected"]["lds"] - scored["influence I_c"]["lds"]
    d = drawn["influence, not projected"] - drawn["influence I_c"]
    out.append({"ours": "influence I_c", "theirs": "influence, not projected", "difference": -loss,
                "interval": interval(-d), "bar": -PROJECTION_BAR, "met": bool(loss <= PROJECTION_BAR)})
    return out


def judged(x, deadline):
    """Figures of one set of texts, and the scores in every draw."""
    sets, truth = x.retrain_all(deadline)
    named, pinned = all_scores(x)
    j = Judge(sets, truth.mean(0), x.a.draws, x.seed)
    scored, drawn = table(j, named, x.queries)
    result = {"seed": x.seed, "sets": len(sets), "trainings": len(truth), "queries": len(x.queries), "pinned": pinned,
              "scores": scored, "comparisons": comparisons(scored, drawn)}
    if len(truth) > 1:  # how well one training foretells the same with another seed
        from_other = Judge(sets, truth[0], 0).per_query(signs(truth[1]))
        result["ceiling"] = float(from_other.mean())
    return result, drawn


def pooled(results, draws):
    """The mean over sets of texts, each drawn anew by itself."""
    drawn = {name: np.mean([d[name] for d in draws], axis=0) for name in draws[0]}
    scored = {name: {key: float(np.mean([r["scores"][name][key] for r in results])) for key in of if key != "interval"}
              for name, of in results[0]["scores"].items()}
    for name, of in scored.items():
        of["interval"] = interval(drawn[name])
    out = {key: [r[key] for r in results] for key in ("seed", "sets", "trainings", "queries")}
    if "ceiling" in results[0]:
        out["ceiling"] = float(np.mean([r["ceiling"] for r in results]))
    return {**out, "scores": scored, "comparisons": comparisons(scored, drawn)}


def print_tables(name, r):
    print(f"\n{name}: {r['sets']} sets, each trained {r['trainings']} times, {r['queries']} queries, texts of seed {r['seed']}"
          + (f", seed to seed {r['ceiling']:.3f}" if "ceiling" in r else ""))
    columns = [*texts.STRATA, "given", "own"]
    print("\n| score | LDS | 95 % | " + " | ".join(columns) + " |\n| --- | ---: | --- |" + " ---: |" * len(columns))
    for score, s in sorted(r["scores"].items(), key=lambda item: -item[1]["lds"]):
        low, high = s["interval"]
        print(f"| {score} | {s['lds']:.3f} | {low:.3f} … {high:.3f} | "
              + " | ".join(f"{s[c]:.3f}" if c in s else "–" for c in columns) + " |")
    print("\n| ours − theirs | difference | 95 % | bar | |\n| --- | ---: | --- | ---: | --- |")
    for c in r["comparisons"]:
        low, high = c["interval"]
        print(f"| {c['ours']} − {c['theirs']} | {c['difference']:+.3f} | {low:+.3f} … {high:+.3f} | {c['bar']:+.2f} | "
              f"{'met' if c['met'] else '**missed**'} |")


def parse():
    p = argparse.ArgumentParser(prog="tests/bench/lds", description=(
        "Judges attribution by retraining: adapters are trained on halves of eight contributors, and a good score foretells "
        "which answers become likelier (linear datamodelling score), beside BM25, gradient dot, DataInf and chance. Also "
        "poisoned contributors and canaries. What is done already is kept in build/lds; prints Markdown."),
        epilog="Times on two free cores: the tiny base once 2 minutes; --tiny 1 to 2 minutes for each --seed, poison and "
               "canaries 2. Without --tiny, on the 135M model: about a minute a pair, 3 before the first and 3 after the "
               "last. --short: 10 seconds once there is a base.")
    p.add_argument("--tiny", action="store_true", help="a scratch model of a million parameters: all 70 halves, 2 seeds")
    p.add_argument("--short", action="store_true", help="the tiny model, 5 pairs and one seed, no poison, no canaries")
    p.add_argument("--model", default=DEFAULT_MODEL, help="the base when not --tiny [%(default)s]")
    p.add_argument("--rows", type=int, help="of each contributor [8]")
    p.add_argument("--queries", type=int, help="per contributor and stratum; as many again are the adapter's own [tiny 2, else 1]")
    p.add_argument("--pairs", type=int, help="complementary pairs of halves [tiny 35, else 10]")
    p.add_argument("--seeds", type=int, help="trainings of each half [tiny 2, else 1]")
    p.add_argument("--seed", type=int, nargs="+", default=[1], help="of texts and order of pairs; several are pooled [1]")
    p.add_argument("--nulls", type=int, default=40, help="answers from outside the data that pin τ [40]")
    p.add_argument("--draws", type=int, default=1000, help="of the bootstrap [1000]")
    p.add_argument("--jobs", type=int, help="trainings at a time [tiny 2, else 1]")
    p.add_argument("--budget", type=float, default=3600, help="seconds after which no further pair is begun [3600]")
    p.add_argument("--only", choices=["judge", "poison", "canaries"], action="append", help="some parts only")
    p.add_argument("--json", type=Path, help="where figures are written")
    a = p.parse_args()
    a.tiny = a.tiny or a.short
    defaults = {"rows": 8, "queries": 2 if a.tiny and not a.short else 1, "pairs": 5 if a.short else 35 if a.tiny else 10,
                "seeds": 2 if a.tiny and not a.short else 1, "jobs": 2 if a.tiny else 1}
    for key, value in defaults.items():
        setattr(a, key, getattr(a, key) or value)
    a.only = a.only or (["judge"] if a.short else ["judge", "poison", "canaries"])
    return a


def main():
    a, begin = parse(), time.time()
    name = f"{'tiny' if a.tiny else 'model'}-{a.rows}-{a.queries}"
    if a.tiny:
        import tiny_base  # loads PyTorch, which the other model does not need

        tiny_base.make(BUILD / "lds/base")
        model = Model(BUILD / "lds/base", {"targets": "all", "rank": 8, "lr": 0.004, "batch": 4, "epochs": 6}, 1)
    else:
        model = Model(a.model, {"targets": "q_proj,v_proj", "rank": 8, "lr": 0.002, "batch": 8, "epochs": 3}, 2)
    result = {"options": {k: str(v) for k, v in vars(a).items()}, "training": model.train_options}
    if "judge" in a.only:
        done = [judged(Experiment(model, BUILD / "lds" / f"{name}-{seed}", seed, a), begin + a.budget) for seed in a.seed]
        result["judge"] = [r for r, _ in done]
        if len(done) > 1:
            result["judge"].append(pooled(*map(list, zip(*done))))
        for r in result["judge"]:
            print_tables("tiny" if a.tiny else model.path.name, r)
    if "poison" in a.only:
        result["poison"] = extras.poison(model, BUILD / "lds" / f"{name}-poison", a.seed[0], a)
    if "canaries" in a.only:
        result["canaries"] = extras.canaries(model, BUILD / "lds" / f"{name}-canaries", a.seed[0], a)
    for part in ("poison", "canaries"):
        if part in result:
            print(f"\n{part}: {json.dumps(result[part])}")
    if a.json:
        a.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
