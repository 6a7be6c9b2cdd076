"""What a person may call a file that is to be withdrawn, and what is said to a name that fails."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scalecast_assets.ingest.withdrawable import NotWithdrawable, find_withdrawable
from scalecast_assets.ingest.withdrawal import withdraw
from tests.factories_files import Pipeline, line


@pytest.fixture
def pipeline(database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(database_url, tmp_path)
    yield pipeline
    pipeline.conn.close()


def test_a_file_is_found_by_key_name_sha256_and_by_the_key_of_a_copy(pipeline: Pipeline) -> None:
    pipeline.put("raw/north/a b.csv", line(1))
    pipeline.put("raw/other.csv", line(2))
    sha256 = pipeline.run("raw/north/a b.csv", "raw/other.csv").files[0].sha256
    pipeline.put("raw/copy.csv", line(1))
    pipeline.run()
    for name in ("raw/north/a b.csv", "a b.csv", "copy.csv", sha256, sha256[:6].upper()):
        assert find_withdrawable(pipeline.conn, name).sha256 == sha256, name


@pytest.mark.parametrize(
    "name",
    ["", "b.csv", "%", "a.cs", "A.CSV", "raw/", "raw/../a.csv", "a.csv'; drop table x", "/", "abc"],
)
def test_a_name_that_is_of_no_file_is_told_what_there_is(pipeline: Pipeline, name: str) -> None:
    pipeline.put("raw/a.csv", line(1))
    pipeline.run()
    with pytest.raises(NotWithdrawable, match=r"Published last: [0-9a-f]{12} raw/a\.csv \(1 rows"):
        find_withdrawable(pipeline.conn, name)


def test_a_key_that_has_held_several_contents_is_asked_about(pipeline: Pipeline) -> None:
    for quantity in (1, 2):
        pipeline.put("raw/a.csv", line(1, quantity=quantity))
        pipeline.run()
    with pytest.raises(NotWithdrawable, match="found 2 contents; name one by the start") as raised:
        find_withdrawable(pipeline.conn, "a.csv")
    shas = [sha for (sha,) in pipeline.conn.execute("select sha256 from warehouse.file_ledger")]
    assert all(sha[:12] in str(raised.value) for sha in shas)
    withdraw(pipeline.conn, pipeline.store, shas[0])
    left = find_withdrawable(pipeline.conn, "a.csv")
    assert (left.sha256, left.state) == (shas[1], "published"), "only one is published now"


def test_a_file_that_waits_or_was_refused_is_not_withdrawn(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1))
    pipeline.land()
    with pytest.raises(NotWithdrawable, match=r"expected a published file, found .* landed"):
        find_withdrawable(pipeline.conn, "a.csv")
    pipeline.judge(bad="a.csv")
    with pytest.raises(NotWithdrawable, match=r"refused\): nothing of it is in the warehouse"):
        find_withdrawable(pipeline.conn, "a.csv")


def test_one_whose_later_attempt_was_refused_is_found_as_published(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1))
    pipeline.run()
    pipeline.land("raw/a.csv", again=True)
    pipeline.judge(bad="a.csv")
    assert find_withdrawable(pipeline.conn, "a.csv").state == "published"
    withdraw(pipeline.conn, pipeline.store, find_withdrawable(pipeline.conn, "a.csv").sha256)
    assert find_withdrawable(pipeline.conn, "a.csv").state == "withdrawn"
