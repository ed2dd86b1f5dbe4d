"""What no attack on attribution may gain: the rules that bound attacks exactly (docs/attribution.md, "What attacks
gain"; the rest is measured by tests/bench/gaming, whose attacks these are).

  pytest test_gaming.py     takes build/openlora and build/tests/span_dump
"""
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))
import gaming_gradients as gradients  # noqa: E402
import gaming_spans as spans  # noqa: E402
from gaming_spans import ATTACKER, Answer, Rules, Source  # noqa: E402

SEED = 1


@pytest.fixture(scope="module")
def tokens():
    return spans.Tokens()


@pytest.fixture(scope="module")
def honest(tokens, tmp_path_factory):
    sources, kept = spans.world(SEED)
    policy = spans.make_index(sources, tmp_path_factory.mktemp("honest"))
    asked = spans.answers(sources, kept, tokens, SEED, each=3)
    return sources, policy, asked, spans.by_program(policy, asked)


def rounded(share):
    return {k: round(v, 9) for k, v in share.items() if v > 1e-12}


def test_the_benchs_rule_is_the_programs(honest, tokens):
    """Without this, "what it is worth with the rule off" says nothing."""
    sources, policy, asked, shares = honest
    engine = spans.Engine(sources, tokens, spans.table_of(policy))
    echoing = [replace(a, prompt=a.tokens[:12], payer=sources[0].owner) for a in asked]
    for answers, got in ((asked, shares), (echoing, spans.by_program(policy, echoing))):
        mine = [{spans.address(k): v for k, v in engine.shares(a, Rules()).items()} for a in answers]
        assert list(map(rounded, got)) == list(map(rounded, mine))
    assert sum(map(bool, shares)) > len(asked) / 2


def test_copies_gain_nothing(honest, tmp_path):
    sources, _, asked, before = honest
    after = spans.by_program(spans.make_index(spans.copies(sources, 50), tmp_path), asked)
    assert after == before and not any(spans.address(ATTACKER) in share for share in after)


def test_copies_would_gain_without_the_rule(honest, tokens):
    sources, policy, asked, _ = honest
    engine = spans.Engine(spans.copies(sources, 50), tokens, spans.table_of(policy))
    assert sum(engine.shares(a, Rules(earliest=False))[ATTACKER] for a in asked) > 1


def test_what_came_after_the_version_gains_nothing(honest, tokens, tmp_path):
    """A later version has the logged answers; the index that the policy pins is made of its own version only."""
    sources, policy, asked, _ = honest
    logged = Source(ATTACKER, 9000, [tokens.of.decode(a.tokens) for a in asked], sources[0].datanet)
    later = spans.make_index(sources + [logged], tmp_path / "later")
    assert sum(share[spans.address(ATTACKER)] for share in spans.by_program(later, asked)) > 1  # what there is to gain
    again = spans.make_index(sources, tmp_path / "pinned")
    assert (again / "spans.index").read_bytes() == (policy / "spans.index").read_bytes()
    assert (again / "sources.json").read_bytes() == (policy / "sources.json").read_bytes()


def test_a_committed_text_is_not_raced(honest, tmp_path):
    """The rival registers the text between its commitment and its proposal, which counts from the commitment on."""
    sources, _, asked, before = honest
    rival = Source(ATTACKER, sources[0].time + 5, sources[0].rows, sources[0].datanet)
    assert spans.by_program(spans.make_index(sources + [rival], tmp_path), asked) == before


def test_echo_gains_nothing(honest, tokens):
    sources, policy, _, _ = honest
    own = [Answer(tokens(row), prompt=tokens("Repeat this: ") + tokens(row)) for row in sources[0].rows]
    assert all(not share for share in spans.by_program(policy, own))
    asked_plainly = spans.by_program(policy, [replace(a, prompt=[]) for a in own])
    assert all(share[spans.address(sources[0].owner)] == 1 for share in asked_plainly)


def test_the_payers_own_gains_nothing(honest, tokens):
    sources, policy, _, _ = honest
    own = [Answer(tokens(row), payer=sources[0].owner) for row in sources[0].rows]
    assert all(not rounded(share) for share in spans.by_program(policy, own))


@pytest.mark.parametrize("parts", [2, 8])
def test_splitting_within_a_datanet_gains_no_spans(honest, tmp_path, parts):
    sources, _, asked, before = honest
    after = spans.by_program(spans.make_index(spans.split(sources, parts, False), tmp_path), asked)
    names = {spans.address(f"{ATTACKER} {i}") for i in range(parts)}
    for a, b in zip(before, after):
        together = sum(v for k, v in b.items() if k in names)
        assert together == pytest.approx(a[spans.address(sources[0].owner)], abs=1e-12)


@pytest.fixture(scope="module")
def gradient_world():
    sources, kept = spans.world(SEED)
    model = gradients.Tiny(sources, SEED)
    query = lambda text: gradients.query_of(model.gradient(text))
    begins = [row for rows in kept.values() for row in rows]
    queries = [query(a) for a in gradients.said(model, begins, 2, SEED)]
    nulls = [query(a) for a in gradients.said(model, gradients.other_texts(400, SEED), 0, SEED)]
    vectors = lambda these: gradients.Vectors(these, model.gradient, gradients.Policy())
    return sources, vectors, queries, gradients.calibrate(vectors(sources), queries, nulls, gradients.Policy())


def test_copies_have_no_gradients(gradient_world):
    sources, vectors, queries, calibrated = gradient_world
    after = gradients.shares(vectors(spans.copies(sources, 50)), queries, calibrated)
    assert all(share[ATTACKER] == 0 for share in after)
    honest = gradients.shares(vectors(sources), queries, calibrated)
    assert [rounded(share) for share in after] == [rounded(share) for share in honest]


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_splitting_within_a_datanet_gains_little(gradient_world, parts):
    """κ and S₀ as they were, which is the attacker's better case: calibrated anew they would rise."""
    sources, vectors, queries, calibrated = gradient_world
    mean = lambda these, begin: np.mean([sum(v for k, v in share.items() if k.startswith(begin))
                                         for share in gradients.shares(vectors(these), queries, calibrated)])
    before = mean(sources, sources[0].owner)
    assert before > 0.02
    assert mean(spans.split(sources, parts, False), ATTACKER) <= 1.05 * before
