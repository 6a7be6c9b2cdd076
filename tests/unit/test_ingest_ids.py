"""One limit for ids: what a file may bring, a request may ask for, and nothing longer."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from scalecast_assets.contract.columns import MAX_ID_BYTES
from scalecast_assets.ingest import vectorised
from scalecast_assets.ingest.header import Layout, read_header
from serving.schemas import PredictRequest
from tests.factories_files import HEADER, csv_of, read

LONGEST = ["x" * MAX_ID_BYTES, "é" * (MAX_ID_BYTES // 2), "🛒" * (MAX_ID_BYTES // 4)]


def is_read_fast(line: str) -> bool:
    layout = read_header(HEADER, {})
    assert isinstance(layout, Layout)
    return vectorised.read_fast(f"{line}\n".encode(), 2, layout) is not None


def asking(**ids: str) -> dict[str, Any]:
    usual = {"date": "2024-01-01", "store_id": "S", "product_id": "P"}
    return {**usual, **ids, "price": 1.0, "promotion": False}


@pytest.mark.parametrize("column", ["store_id", "product_id"])
@pytest.mark.parametrize("longest", LONGEST)
def test_the_longest_id_is_landed_and_can_be_asked_for(
    tmp_path: Path, longest: str, column: str
) -> None:
    line = f"2024-01-01,{longest},{longest},1,1,0"
    assert read(tmp_path, csv_of(line)).faults == []
    assert is_read_fast(line)
    request = PredictRequest.model_validate(asking(**{column: longest}))
    assert getattr(request, column) == longest


@pytest.mark.parametrize("column", ["store_id", "product_id"])
@pytest.mark.parametrize("longest", LONGEST)
def test_one_character_more_is_refused_by_both(tmp_path: Path, longest: str, column: str) -> None:
    ids = {"store_id": "S", "product_id": "P", column: longest + longest[0]}
    line = "2024-01-01,{store_id},{product_id},1,1,0".format(**ids)
    assert [fault.column for fault in read(tmp_path, csv_of(line)).faults] == [column]
    assert not is_read_fast(line)
    with pytest.raises(ValidationError, match=rf"at most {MAX_ID_BYTES} (bytes|characters)"):
        PredictRequest.model_validate(asking(**ids))
