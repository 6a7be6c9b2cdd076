"""A panel's bytes: the same again, small where that loses nothing, and nothing hostile let in."""

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalecast_assets.contract import state
from scalecast_assets.contract.columns import Calendar, feature_contract_hash
from scalecast_assets.contract.panel import KEPT_DAYS, NO_ROW, Panel
from scalecast_assets.contract.state import (
    StateError,
    panel_from_bytes,
    panel_to_bytes,
)
from tests.unit.naive_features import History, Sale, panel_of, random_history

CALENDARS: tuple[Calendar, ...] = ("store", "observed")


def a_panel(calendar: Calendar = "store", seed: int = 3) -> Panel:
    return panel_of(random_history(seed, n_days=200), calendar, kept_days=KEPT_DAYS)


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(content: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return out.getvalue()


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def with_array(name: str, change: Callable[[np.ndarray], np.ndarray], data: bytes) -> bytes:
    content = members(data)
    array = np.load(io.BytesIO(content[f"{name}.npy"]))
    content[f"{name}.npy"] = npy(change(array.copy()))
    return pack(content)


def with_header(data: bytes, **changes: Any) -> bytes:
    content = members(data)
    header = json.loads(np.load(io.BytesIO(content["header.npy"])).tobytes())
    text = json.dumps(header | changes).encode()
    content["header.npy"] = npy(np.frombuffer(text, np.uint8))
    return pack(content)


def claiming(shape: tuple[int, ...]) -> bytes:
    out = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(out, header)
    return out.getvalue() + bytes(64)


def put(at: Any, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[at] = value
        return array

    return change


@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize("seed", range(8))
def test_a_panel_comes_back_as_it_was(calendar: Calendar, seed: int) -> None:
    panel = a_panel(calendar, seed)
    back = panel_from_bytes(panel_to_bytes(panel))
    assert type(back) is type(panel)
    for field in fields(panel):
        before, after = getattr(panel, field.name), getattr(back, field.name)
        if isinstance(before, tuple):
            assert after == before
        else:
            np.testing.assert_array_equal(after, before, err_msg=field.name)


def test_ids_are_any_text() -> None:
    ids = ["0012", " a ", 'x"; drop', "Zürich ☕", "l" * 5_000]
    history = History({(one, one): {19_000: Sale(1.0, 2.0, False)} for one in ids})
    back = panel_from_bytes(panel_to_bytes(panel_of(history, kept_days=KEPT_DAYS)))
    assert back.stores == back.products == tuple(sorted(ids))


@pytest.mark.parametrize("calendar", CALENDARS)
def test_the_same_panel_has_the_same_bytes_and_another_has_others(calendar: Calendar) -> None:
    first, second = panel_to_bytes(a_panel(calendar)), panel_to_bytes(a_panel(calendar))
    assert first == second == panel_to_bytes(panel_from_bytes(first))
    assert first != panel_to_bytes(a_panel(calendar, seed=4))


@pytest.mark.parametrize(("quantity", "dtype"), [(3.0, "float32"), (0.1, "float64")])
def test_quantities_are_narrow_only_where_that_loses_nothing(quantity: float, dtype: str) -> None:
    history = History({("A", "P"): {19_000: Sale(quantity, 2.0, False)}})
    back = panel_from_bytes(panel_to_bytes(panel_of(history, kept_days=KEPT_DAYS)))
    assert back.quantity.dtype == dtype
    assert back.quantity[0, -1] == quantity


HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "nothing": (lambda data: b"", "not a readable state"),
    "not a zip": (lambda data: b"\x93NUMPY" + data, "not begin as one"),
    "cut short": (lambda data: data[: len(data) // 2], "not a readable state"),
    "one bit flipped": (
        lambda data: (
            data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]
        ),
        "CRC",
    ),
    "compressed": (lambda data: pack(members(data), zipfile.ZIP_DEFLATED), "compressed"),
    "an extra member": (
        lambda data: pack(members(data) | {"../../etc/passwd": b"x"}),
        "do not belong",
    ),
    "a missing member": (
        lambda data: pack({k: v for k, v in members(data).items() if k != "carry.npy"}),
        r"missing: \['carry'\]",
    ),
    "no header": (
        lambda data: pack({k: v for k, v in members(data).items() if k != "header.npy"}),
        "no header",
    ),
    "a pickle": (
        lambda data: pack(members(data) | {"carry.npy": npy(np.array([{"a": 1}, None]))}),
        r"carry: dtype \|O found",
    ),
    "a shape of terabytes": (
        lambda data: pack(members(data) | {"carry.npy": claiming((10**12,))}),
        "does not fit its",
    ),
    "a negative shape": (
        lambda data: pack(members(data) | {"carry.npy": claiming((-1, -8))}),
        "carry: shape",
    ),
    "a header of code": (
        lambda data: pack(
            members(data) | {"carry.npy": b"\x93NUMPY\x01\x00\x10\x00__import__('os')"}
        ),
        "not a readable state",
    ),
    "another dtype": (
        lambda data: with_array("until", lambda a: a.astype(np.int64), data),
        "until: dtype <i8 found, expected <i4",
    ),
    "another shape": (
        lambda data: with_array("open", lambda a: a[:, 1:], data),
        r"open: shape \(\d+, 69\) found",
    ),
    "another schema": (lambda data: with_header(data, schema=2), "schema 2 found, expected 1"),
    "no known calendar": (lambda data: with_header(data, calendar=["store"]), "calendar"),
    "the other calendar": (
        lambda data: with_header(
            data, calendar="observed", contract=feature_contract_hash("observed")
        ),
        r"missing: \['row_day'\]",
    ),
    "another contract": (lambda data: with_header(data, contract="0" * 16), "feature contract"),
    "an id twice": (lambda data: with_header(data, stores=["A", "A", "B"]), "none twice"),
    "ids of numbers": (lambda data: with_header(data, stores=[1, 2, 3]), "list of ids"),
    "a store too few": (lambda data: with_header(data, stores=["A"]), "shape|index"),
    "json of a list": (
        lambda data: pack(members(data) | {"header.npy": npy(np.frombuffer(b"[1]", np.uint8))}),
        "schema 'list' found",
    ),
    "json too deep": (
        lambda data: pack(
            members(data) | {"header.npy": npy(np.frombuffer(b"[" * 200_000, np.uint8))}
        ),
        "not a readable state",
    ),
    "an index outside": (
        lambda data: with_array("series_product", put(0, 99), data),
        "series_product: an index outside",
    ),
    "a negative index": (
        lambda data: with_array("series_store", put(0, -1), data),
        "series_store: an index outside",
    ),
    "a series twice": (
        lambda data: with_array("series_product", put(1, 0), data),
        "series: none twice",
    ),
    "a day in another millennium": (
        lambda data: with_array("until", put(slice(None), 2**30), data),
        "until: a day of this age",
    ),
    "a series that began after its end": (
        lambda data: with_array("first_day", put(0, 60_000), data),
        "first_day: not after",
    ),
    "a quantity below zero": (
        lambda data: with_array("quantity", put((0, 0), -1.0), data),
        "quantity: finite, 0 or more",
    ),
    "a quantity that is none": (
        lambda data: with_array("quantity", put((0, 0), np.nan), data),
        "quantity: finite, 0 or more",
    ),
    "an infinite carry": (
        lambda data: with_array("carry", put(0, np.inf), data),
        "carry: finite, 0 or more",
    ),
    "a price of zero": (
        lambda data: with_array("last_price", put(0, 0.0), data),
        "last_price: above 0",
    ),
    "a store closed on its last open day": (
        lambda data: with_array("open", put((0, -1), False), data),
        "open: each store on its until",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_no_run_has_written_is_refused_with_a_reason(what: str) -> None:
    spoil, complaint = HOSTILE[what]
    data = panel_to_bytes(a_panel())
    with pytest.raises(StateError, match=complaint):
        panel_from_bytes(spoil(data))


@settings(max_examples=200, deadline=None, database=None)
@given(data=st.data())
def test_whatever_bytes_are_spoilt_the_error_is_a_state_error(data: st.DataObject) -> None:
    spoilt = bytearray(panel_to_bytes(a_panel()))
    tail = len(spoilt) - 1_500  # the archive's own directory
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(spoilt) - 1) | st.integers(tail, len(spoilt) - 1))
        spoilt[at] = data.draw(st.integers(0, 255))
    try:
        panel = panel_from_bytes(bytes(spoilt))
    except StateError:
        return
    np.testing.assert_array_equal(panel.quantity, a_panel().quantity)


def test_a_flag_that_is_neither_true_nor_false_is_refused() -> None:
    content = members(panel_to_bytes(a_panel()))
    content["promotion.npy"] = content["promotion.npy"][:-1] + b"\x07"
    with pytest.raises(StateError, match="true or false"):
        panel_from_bytes(pack(content))


@pytest.mark.parametrize("days", [(20_000, 19_999), (NO_ROW, NO_ROW + 1), (19_999, NO_ROW)])
def test_observed_rows_out_of_order_are_refused(days: tuple[int, int]) -> None:
    history = History({("A", "P"): {20_000: Sale(1.0, 2.0, False)}})
    data = panel_to_bytes(panel_of(history, "observed", kept_days=KEPT_DAYS))
    with pytest.raises(StateError, match="row_day: ascending"):
        panel_from_bytes(with_array("row_day", put((0, slice(-2, None)), days), data))  # type: ignore[arg-type]


def test_more_bytes_than_any_retailer_needs_are_refused_unread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = panel_to_bytes(a_panel())
    monkeypatch.setattr(state, "MAX_STATE_BYTES", len(data) - 1)
    with pytest.raises(StateError, match=f"{len(data)} bytes, expected at most {len(data) - 1}"):
        panel_from_bytes(data)


def test_the_state_of_thirty_thousand_series_is_read_in_a_blink() -> None:
    one = panel_of(History({("A", "P"): {20_000: Sale(1.0, 2.0, False)}}), kept_days=KEPT_DAYS)
    n = 30_000
    repeated: dict[str, Any] = {
        name: np.repeat(getattr(one, name), n, axis=0)
        for name in (
            "series_store",
            "first_day",
            "last_price",
            "quantity",
            "price",
            "promotion",
            "carry",
        )
    }
    panel = replace(
        one,
        products=tuple(f"P{i}" for i in range(n)),
        series_product=np.arange(n, dtype=np.int32),
        **repeated,
    )
    data = panel_to_bytes(panel)
    assert len(data) < 25_000_000
    assert panel_from_bytes(data).n_series == n
