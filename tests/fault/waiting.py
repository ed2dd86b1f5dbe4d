"""Waiting by the clock: how often one looks depends on the machine, how long one waits does not. A wait that succeeds costs
nothing, so the limits are for the slowest machine."""
import time

PATIENCE_S = 120


def until(look, holds=bool, mine=None, seconds=PATIENCE_S, every=0.05, show=None):
    """Looks until what it sees holds, and returns that. Between two looks, `mine` is called. What was seen last, and what
    `show` returns, is said when it never held."""
    end = time.monotonic() + seconds
    while not holds(seen := look()):
        assert time.monotonic() < end, f"not within {seconds:.0f} s; last seen: {seen!r}" + (f"\n{show()}" if show else "")
        if mine:
            mine()
        time.sleep(every)
    return seen


def is_quick(measure, seconds, times=3, tries=30):
    """What is measured stays within so many seconds, that often. It is measured again where it did not: a busy machine only
    ever adds to it."""
    took = []
    while sum(t <= seconds for t in took) < times:
        assert len(took) < tries, f"not within {seconds} s: {took}"
        took.append(measure())
