"""A panel as the bytes of one ``.npz`` file, and back: the state that the sidecar loads.

The same panel always gives the same bytes, so that their sha256 names the state. Members are
stored, not compressed: bytes that claim to be more than they are cannot exist. Loading believes
nothing: every member's name, type, shape and range is checked, nothing is unpickled, and whatever
is wrong is one :class:`StateError`. Where states are kept and pointed to is in ``bundle.py``.
"""

import json
import zipfile
from collections.abc import Mapping
from datetime import date
from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scalecast_assets.contract.columns import MAX_QUANTITY, Calendar, feature_contract_hash
from scalecast_assets.contract.panel import (
    KEPT_DAYS,
    NEVER,
    NO_ROW,
    ObservedPanel,
    Panel,
    StorePanel,
)
from scalecast_assets.contract.strict_json import BundleError

STATE_SCHEMA: Final = 1
"""Raised by one whenever the members of the file change."""

MAX_STATE_BYTES: Final = 4 * 1024**3
"""Five million series; more is taken for a mistake and refused unread."""

_HEADER: Final = "header"
_STORED_ON: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3
_ZIP_BEGINS: Final = b"PK\x03\x04"
_EPOCH: Final = date(1970, 1, 1).toordinal()
_DAYS: Final = (date(1900, 1, 1).toordinal() - _EPOCH, date(9000, 1, 1).toordinal() - _EPOCH)

_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "series_store": ("<i4",),
    "series_product": ("<i4",),
    "first_day": ("<i4",),
    "last_price": ("<f8",),
    "until": ("<i4",),
    "open": ("|b1",),
    "quantity": ("<f4", "<f8"),
    "price": ("<f4",),
    "promotion": ("|b1",),
}
_OWN_MEMBER: Final[Mapping[Calendar, tuple[str, tuple[str, ...]]]] = {
    "store": ("carry", ("<f8",)),
    "observed": ("row_day", ("<i4",)),
}


class StateError(BundleError):
    """The bytes are not a state that this version of the code can use."""


def panel_to_bytes(panel: Panel) -> bytes:
    """Write the panel as an ``.npz`` file; quantities as float32 where that loses nothing."""
    header = {
        "schema": STATE_SCHEMA,
        "contract": feature_contract_hash(panel.calendar),
        "calendar": panel.calendar,
        "stores": panel.stores,
        "products": panel.products,
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    members: dict[str, NDArray[Any]] = {_HEADER: np.frombuffer(text, dtype=np.uint8)}
    for name, dtypes in (*_MEMBERS.items(), _OWN_MEMBER[panel.calendar]):
        array = getattr(panel, name)
        if name == "quantity" and np.array_equal(array, array.astype(np.float32)):
            array = array.astype(np.float32)
        elif array.dtype.newbyteorder("<").str not in dtypes:
            array = array.astype(dtypes[-1])
        members[name] = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, array in members.items():
            info = zipfile.ZipInfo(f"{name}.npy", date_time=_STORED_ON)
            info.create_system = _UNIX
            content = BytesIO()
            np.lib.format.write_array(content, array, version=(1, 0), allow_pickle=False)
            archive.writestr(info, content.getbuffer())
    return out.getvalue()


def panel_from_bytes(data: bytes) -> Panel:
    """Read a panel back; its arrays are read-only. Raises StateError if anything is wrong."""
    if len(data) > MAX_STATE_BYTES:
        raise StateError(f"state: {len(data)} bytes, expected at most {MAX_STATE_BYTES}")
    try:
        arrays = _read_members(data)
        header = _read_header(arrays)
    except StateError:
        raise
    except (
        zipfile.BadZipFile,
        ValueError,
        EOFError,
        OSError,
        KeyError,
        NotImplementedError,
        RuntimeError,
        MemoryError,
        OverflowError,
    ) as problem:
        raise StateError(
            f"state: not a readable state file ({type(problem).__name__}: {problem}); "
            "materialize serving_state again"
        ) from problem
    calendar: Calendar = header["calendar"]
    _check_shapes(arrays, calendar, len(header["stores"]), len(header["products"]))
    fields = {name: arrays[name] for name in (*_MEMBERS, _OWN_MEMBER[calendar][0])}
    kind = StorePanel if calendar == "store" else ObservedPanel
    panel: Panel = kind(
        stores=tuple(header["stores"]), products=tuple(header["products"]), **fields
    )
    _check_values(panel)
    return panel


def _read_members(data: bytes) -> dict[str, NDArray[Any]]:
    if not data.startswith(_ZIP_BEGINS):
        raise zipfile.BadZipFile("it does not begin as one")
    with zipfile.ZipFile(BytesIO(data)) as archive:
        infos = archive.infolist()
        allowed = {_HEADER, *_MEMBERS, *(name for name, _ in _OWN_MEMBER.values())}
        names = [info.filename.removesuffix(".npy") for info in infos]
        strange = sorted(set(names) - allowed)
        if strange or len(set(names)) != len(names):
            raise StateError(f"state: members found that do not belong, or twice: {strange[:5]}")
        if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
            raise StateError("state: compressed members found, expected stored ones")
        if sum(info.file_size for info in infos) > len(data):
            raise StateError("state: its members claim more bytes than the file has")
        return {
            name: _read_array(name, archive.read(info))
            for name, info in zip(names, infos, strict=True)
        }


def _read_array(name: str, content: bytes) -> NDArray[Any]:
    """Read one ``.npy`` member without ever allocating what its header merely claims."""
    stream = BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise StateError(f"state: {name}: npy version {version} found, expected (1, 0)")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    own = dict(_OWN_MEMBER.values())
    dtypes = ("|u1",) if name == _HEADER else _MEMBERS.get(name) or own[name]
    if dtype.str not in dtypes or fortran:
        raise StateError(f"state: {name}: dtype {dtype.str} found, expected {' or '.join(dtypes)}")
    size = dtype.itemsize
    for extent in shape:
        size *= extent
    if min(shape, default=0) < 0 or size != len(content) - stream.tell():
        raise StateError(f"state: {name}: shape {shape} does not fit its {len(content)} bytes")
    return np.frombuffer(content, dtype, offset=stream.tell()).reshape(shape)


def _read_header(arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    if _HEADER not in arrays:
        raise StateError("state: no header found; materialize serving_state again")
    header = json.loads(arrays[_HEADER].tobytes())
    if not isinstance(header, dict) or header.get("schema") != STATE_SCHEMA:
        found = header.get("schema") if isinstance(header, dict) else type(header).__name__
        raise StateError(
            f"state: schema {found!r} found, expected {STATE_SCHEMA}; materialize serving_state "
            "with the same version of the project as the one that serves"
        )
    hashes = {str(calendar): feature_contract_hash(calendar) for calendar in _OWN_MEMBER}
    expected = hashes.get(str(header.get("calendar")))
    if expected is None:
        raise StateError(
            f"state: calendar {header.get('calendar')!r} found, expected one of {[*hashes]}"
        )
    if header.get("contract") != expected:
        raise StateError(
            f"state: feature contract {header.get('contract')!r} found, expected {expected!r}; "
            "materialize serving_state with this version of the project"
        )
    for key in ("stores", "products"):
        ids = header.get(key)
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
            raise StateError(f"state: {key}: expected a list of ids")
        if len(set(ids)) != len(ids) or not ids:
            raise StateError(f"state: {key}: expected at least one id, and none twice")
    return header


def _check_shapes(
    arrays: dict[str, NDArray[Any]], calendar: Calendar, n_stores: int, n_products: int
) -> None:
    own = _OWN_MEMBER[calendar][0]
    missing = sorted({*_MEMBERS, own} - arrays.keys())
    if missing or len(arrays) != len(_MEMBERS) + 2:
        raise StateError(f"state: members missing: {missing}, found: {sorted(arrays)}")
    n_series = arrays["series_store"].size
    cells = (n_series, KEPT_DAYS)
    per_store = {"until": (n_stores,), "open": (n_stores, KEPT_DAYS)}
    per_cell = dict.fromkeys(("quantity", "price", "promotion", "row_day"), cells)
    expected = per_store | per_cell
    for name in (*_MEMBERS, own):
        shape = expected.get(name, (n_series,))
        if arrays[name].shape != shape:
            raise StateError(f"state: {name}: shape {arrays[name].shape} found, expected {shape}")
    for name, n_ids in (("series_store", n_stores), ("series_product", n_products)):
        index = arrays[name]
        if index.size and (index.min() < 0 or index.max() >= n_ids):
            raise StateError(f"state: {name}: an index outside 0..{n_ids - 1} found")


def _check_values(panel: Panel) -> None:
    """Refuse what no run of the project could have written."""
    pairs = panel.series_store.astype(np.int64) * len(panel.products) + panel.series_product
    until = panel.until[panel.series_store]
    begun = panel.first_day != NEVER
    open_at_end = panel.open[panel.series_store, -1]
    rules = {
        "series: none twice": np.unique(pairs).size == pairs.size,
        "until: a day of this age": _within(panel.until, *_DAYS),
        "first_day: not after its store's until": np.all(~begun | (panel.first_day <= until)),
        "first_day: a day of this age": _within(panel.first_day[begun], *_DAYS),
        "last_price: above 0 for every series that has begun": np.all(
            np.where(begun, (panel.last_price > 0) & np.isfinite(panel.last_price), True)
        ),
        "open: each store on its until": np.all(open_at_end | ~begun),
        "open, promotion: true or false": all(
            _within(flags.view(np.uint8), 0, 1) for flags in (panel.open, panel.promotion)
        ),
        "quantity: finite, 0 or more": _within(panel.quantity, 0, MAX_QUANTITY),
        "price: above 0, or NaN": not np.any(panel.price < 0) and not np.any(np.isinf(panel.price)),
    }
    if isinstance(panel, StorePanel):
        known = panel.carry[~np.isnan(panel.carry)]
        rules["carry: finite, 0 or more"] = _within(known, 0, MAX_QUANTITY)
    if isinstance(panel, ObservedPanel):
        rows = panel.row_day
        later = rows[:, 1:] > rows[:, :-1]
        unused = (rows[:, 1:] == NO_ROW) & (rows[:, :-1] == NO_ROW)
        fits = (rows == NO_ROW) | ((rows >= panel.first_day[:, None]) & (rows <= until[:, None]))
        rules["row_day: ascending, within the series' life"] = np.all(later | unused) and fits.all()
    broken = [rule for rule, holds in rules.items() if not holds]
    if broken:
        raise StateError(
            f"state: expected {'; '.join(broken)}; found otherwise; materialize serving_state again"
        )


def _within(array: NDArray[Any], low: float, high: float) -> bool:
    """Tell whether all values lie in low..high (NaN does not)."""
    return not array.size or bool(array.min() >= low and array.max() <= high)
