"""Rounds: with LONG_RUN=1 (tests/run --long) every test of a fault is repeated 100 times, or OPENLORA_FAULT_ROUNDS times, each
on its own chain and folder, and what was passed is counted. Tests that meet no chance — vectors, files, wordings — say
`once`."""
import collections
import os

import pytest

LONG = os.environ.get("LONG_RUN") == "1"
ROUNDS = int(os.environ.get("OPENLORA_FAULT_ROUNDS", "100" if LONG else "1"))


def pytest_configure(config):
    config.addinivalue_line("markers", "once: the same every time, so not repeated in long runs")


def pytest_generate_tests(metafunc):
    if ROUNDS > 1 and not any(metafunc.definition.iter_markers("once")):
        metafunc.fixturenames.append("round_number")
        metafunc.parametrize("round_number", range(ROUNDS), ids=lambda n: f"round{n}")


@pytest.fixture
def round_number():
    """For seeds that differ from round to round."""
    return 0


def pytest_terminal_summary(terminalreporter):
    if ROUNDS == 1:
        return
    passed, failed = (collections.Counter(r.nodeid.split("[")[0].split("::")[-1] for r in terminalreporter.stats.get(outcome, ()))
                      for outcome in ("passed", "failed"))
    terminalreporter.section(f"rounds ({ROUNDS} of each)")
    for name in sorted(passed | failed):
        terminalreporter.line(f"{name}: {passed[name]} passed, {failed[name]} failed")
