"""How far a landing is, said now and then."""

import gzip
from pathlib import Path

import pytest

from scalecast_assets.ingest import pace
from scalecast_assets.ingest.pace import Pace
from scalecast_assets.ingest.reader import RawFile
from tests.factories_files import csv_of


def test_it_speaks_after_five_seconds_then_at_doubling_distances(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(pace, "monotonic", lambda: now)
    said: list[tuple[float, str]] = []
    told = Pace("raw/a.csv", lambda line: said.append((now - 1000, line)))
    for second in range(201):
        now = 1000.0 + second
        told.so_far(second * 10_000, second / 200)
    assert [when for when, _ in said] == [5, 15, 35, 75, 135, 195]
    assert said[0][1] == "raw/a.csv: 50,000 rows, 2% of the file, about 195 s left"
    assert said[-1][1].endswith("1,950,000 rows, 98% of the file, about 5 s left")


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_the_share_of_a_file_that_is_read_grows_to_all_of_it(tmp_path: Path, name: str) -> None:
    data = csv_of(*[f"2024-01-01,S{n},P{n % 7},{n},1.5,0" for n in range(200_000)])
    path = tmp_path / name
    path.write_bytes(gzip.compress(data, mtime=0) if name.endswith("gz") else data)
    raw = RawFile(path, name, block_bytes=1 << 18)
    shares = [raw.share for _ in raw.blocks()]
    assert len(shares) > 5
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.5
    assert shares[-1] == pytest.approx(1.0)
