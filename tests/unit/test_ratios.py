"""What the nightly benchmark calls a regression."""

import re
from pathlib import Path

import pytest

from benchmarks.ratios import LIMITS, Limit, main, read_limits, regressions

SLOW = Limit("loading", "loading", re.compile(r"total ([\d.]+) x"), at_most=3.0)
QUICK = Limit("serving", "serving", re.compile(r"ratio ([\d.]+)"), at_least=0.8)


def test_every_limit_has_a_benchmark_that_prints_such_a_line() -> None:
    limits = read_limits()
    assert {limit.benchmark for limit in limits} >= {"panel", "serving"}
    for limit in limits:
        source = (LIMITS.parent / f"{limit.benchmark}.py").read_text()
        words = re.match(r"[\w /]+", limit.line.pattern.replace("\\", ""))
        assert words, limit.name
        assert words[0].strip() in source, limit.name


def test_what_is_within_its_limit_is_measured_once() -> None:
    asked: list[str] = []

    def measure(benchmark: str) -> str:
        asked.append(benchmark)
        return "total 2.9 x\nratio 0.80\n"

    assert regressions([SLOW, QUICK], measure) == []
    assert asked == ["loading", "serving"]


def test_a_neighbour_on_the_machine_is_no_regression() -> None:
    figures = iter(("total 3.1 x", "total 2.5 x"))
    assert regressions([SLOW], lambda _: next(figures)) == []


def test_what_is_too_slow_twice_is_a_regression_and_said_in_figures() -> None:
    assert regressions([SLOW], lambda _: "total 3.1 x") == [
        "loading: 3.1, at most 3 allowed (benchmarks.loading)"
    ]
    assert regressions([QUICK], lambda _: "ratio 0.79") == [
        "serving: 0.79, at least 0.8 allowed (benchmarks.serving)"
    ]


def test_a_figure_that_is_not_printed_is_a_regression_too() -> None:
    assert regressions([SLOW], lambda _: "") == [
        "loading: not printed, at most 3 allowed (benchmarks.loading)"
    ]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("line = 'x'\nat_most = 1.0", "exactly one group"),
        ("line = '(x)'", "at_most or at_least"),
        ("line = '(x)'\nat_most = 1.0\nat_least = 1.0", "at_most or at_least"),
    ],
)
def test_a_limit_that_could_never_fail_is_refused(tmp_path: Path, entry: str, said: str) -> None:
    file = tmp_path / "limits.toml"
    file.write_text(f"[[ratio]]\nname = 'n'\nbenchmark = 'b'\n{entry}\n")
    with pytest.raises(ValueError, match=said):
        read_limits(file)


def test_a_benchmark_without_limits_is_wrong_usage() -> None:
    assert main(["nothing"]) == 2
