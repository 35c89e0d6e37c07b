"""The sweep's points: what is measured, what is skipped, what is known already."""

from genjax.scaling import cases
from genjax.scaling.microbenchmark import Sweep
from genjax.scaling.timings import Point, Timings

SHORT, LONG = (Point("matmul", "forward", size) for size in (8, 16))


def prepared(*rows):
    """What is known of both points where a call of the short one took a second."""
    first = {"first_s": 1.0, "flops": 2.0 * 8**3}
    known = Timings({"arm": p.arm, "mode": p.mode, "length": p.length} | r
                    for p, r in [(SHORT, first), *rows])  # fmt: skip
    sweep = Sweep(
        lambda point: cases.product(point.length), lambda arm, rows: None, known,
        memory=1e9, longest=2.0,
    )  # fmt: skip
    sweep.prepare([SHORT, LONG], lambda text: None)
    return known


def test_what_would_take_too_long_is_skipped():
    assert prepared().skipped == {LONG: "about 8 s a call predicted, 2 s allowed"}


def test_what_was_timed_is_not_skipped_where_its_facts_are_lost():
    known = prepared((LONG, {"round": 0, "seconds": 1e-5}))
    assert not known.skipped and known.facts[LONG]["flops"] == 2.0 * 16**3
