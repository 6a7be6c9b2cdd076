"""Twelve seconds of ``python -m benchmarks.soak``: swaps, a killed bucket, bad clients."""

import pytest

from benchmarks.soak import Plan, soak


@pytest.mark.slow_faults
def test_mixed_load_with_swaps_kills_and_bad_clients_gets_no_wrong_answer() -> None:
    plan = Plan(
        seconds=12,
        n_stores=4,
        n_products=6,
        n_questions=80,
        with_xgboost=False,
        swap_seconds=1,
        kill_seconds=3,
        away_seconds=1.5,
    )

    report = soak(plan)

    assert report.problems == []
    assert report.tally.answers.total() > 100
    assert set(report.tally.answers) >= {"one", "batch", "lines", "series", "history"}
    assert report.swaps >= 1
    assert report.kills >= 1
    assert report.tally.bad
