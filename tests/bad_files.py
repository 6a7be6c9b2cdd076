"""Raw files that must be refused whole: each with the rules it breaks, the lines, and the reason.

What a fault is called is in ``scalecast_assets/ingest/rules.py``. ``tests/graph/test_bad_files.py``
puts all of them before the breaker.
"""

import gzip
import io
import lzma
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from tests.factories_files import GOOD, HEADER, csv_of

RENAMES: Final = {"Qty": "quantity_sold"}
"""The user's own header that the corpus is read with."""

COLUMNS, LINES, ROWS = "columns_are_complete", "lines_are_well_formed", "file_has_rows"
DAY, PLAUSIBLE = "date_is_a_day", "date_is_plausible"
STORE, PRODUCT = "store_id_is_present", "product_id_is_present"
QUANTITY, NEGATIVE = "quantity_is_a_number", "quantity_is_not_negative"
PRICE, POSITIVE = "price_is_a_number", "price_is_positive"
PROMOTION, KEY = "promotion_is_true_or_false", "key_is_unique"

BOM: Final = b"\xef\xbb\xbf"
DAY_AFTER_TOMORROW: Final = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()


@dataclass(frozen=True)
class BadFile:
    """A file, every (rule, line) that it breaks, and words that a reason of it must have."""

    name: str
    data: bytes
    faults: frozenset[tuple[str, int]]
    reason: str


def _cell(column: str, text: str) -> str:
    """The good line of another day, with one cell changed to this text, as written."""
    good = ("2024-01-02", "S2", "P2", "7", "8.5", "false")
    cells = dict(zip(HEADER.split(","), good, strict=True))
    return ",".join((cells | {column: text}).values())


BAD_CELLS: Final = (
    # date
    ("no-date", "date", "", DAY, "missing"),
    ("a-day-that-never-was", "date", "2023-02-30", DAY, "does not exist"),
    ("a-leap-day-too-many", "date", "2023-02-29", DAY, "does not exist"),
    ("the-year-0", "date", "0000-01-01", DAY, "does not exist"),
    ("month-13", "date", "2024-13-01", DAY, "does not exist"),
    ("day-00", "date", "2024-01-00", DAY, "does not exist"),
    ("american-date", "date", "01/02/2024", DAY, "yyyy-mm-dd"),
    ("german-date", "date", "02.01.2024", DAY, "yyyy-mm-dd"),
    ("date-without-dashes", "date", "20240102", DAY, "yyyy-mm-dd"),
    ("week-date", "date", "2024-W01-2", DAY, "yyyy-mm-dd"),
    ("ordinal-date", "date", "2024-002", DAY, "yyyy-mm-dd"),
    ("short-date", "date", "2024-1-2", DAY, "yyyy-mm-dd"),
    ("date-with-time", "date", "2024-01-02 00:00:00", DAY, "yyyy-mm-dd"),
    ("date-with-zone", "date", "2024-01-02T00:00:00Z", DAY, "yyyy-mm-dd"),
    ("date-as-number", "date", "45293", DAY, "yyyy-mm-dd"),
    ("date-as-1e3", "date", "1e3", DAY, "yyyy-mm-dd"),
    ("date-in-words", "date", "2 January 2024", DAY, "yyyy-mm-dd"),
    ("date-with-space", "date", " 2024-01-02", DAY, "yyyy-mm-dd"),
    ("date-in-arabic-digits", "date", "٢٠٢٤-٠١-٠٢", DAY, "yyyy-mm-dd"),
    ("date-with-long-dashes", "date", "2024–01–02", DAY, "yyyy-mm-dd"),
    ("year-with-five-digits", "date", "12024-01-02", DAY, "yyyy-mm-dd"),
    ("infinity-as-date", "date", "infinity", DAY, "yyyy-mm-dd"),
    ("before-christ", "date", "2024-01-02 BC", DAY, "yyyy-mm-dd"),
    ("the-year-9999", "date", "9999-12-31", PLAUSIBLE, "after tomorrow"),
    ("the-day-after-tomorrow", "date", DAY_AFTER_TOMORROW, PLAUSIBLE, "after tomorrow"),
    ("the-year-1", "date", "0001-01-01", PLAUSIBLE, "before 1970"),
    ("the-day-before-1970", "date", "1969-12-31", PLAUSIBLE, "before 1970"),
    # ids
    ("no-store", "store_id", "", STORE, "missing"),
    ("store-of-spaces", "store_id", "   ", STORE, "missing"),
    ("store-of-wide-spaces", "store_id", "\u2003\u00a0", STORE, "missing"),
    ("store-of-empty-quotes", "store_id", '""', STORE, "missing"),
    ("store-with-nul", "store_id", "S\0", STORE, "NUL"),
    ("store-too-long", "store_id", "S" * 501, STORE, "longer than 500"),
    ("store-too-long-in-bytes", "store_id", "é" * 251, STORE, "longer than 500"),
    ("no-product", "product_id", "", PRODUCT, "missing"),
    ("product-of-a-quoted-newline", "product_id", '"\n"', PRODUCT, "missing"),
    ("product-with-nul", "product_id", "\0P", PRODUCT, "NUL"),
    ("product-too-long", "product_id", "P" * 100_000, PRODUCT, "longer than 500"),
    # quantity
    ("no-quantity", "quantity_sold", "", QUANTITY, "missing"),
    ("quantity-in-words", "quantity_sold", "five", QUANTITY, "not a number"),
    ("quantity-null", "quantity_sold", "NULL", QUANTITY, "not a number"),
    ("quantity-not-available", "quantity_sold", "#N/A", QUANTITY, "not a number"),
    ("quantity-nan", "quantity_sold", "NaN", QUANTITY, "not a number"),
    ("quantity-infinity", "quantity_sold", "-Infinity", QUANTITY, "not a number"),
    ("quantity-infinity-sign", "quantity_sold", "∞", QUANTITY, "not a number"),
    ("quantity-1e400", "quantity_sold", "1e400", QUANTITY, "too large to be finite"),
    ("quantity-in-hex", "quantity_sold", "0x1F", QUANTITY, "not a number"),
    ("quantity-in-hex-float", "quantity_sold", "0x1p3", QUANTITY, "not a number"),
    ("quantity-with-unit", "quantity_sold", "12 pcs", QUANTITY, "not a number"),
    ("quantity-with-decimal-comma", "quantity_sold", '"12,5"', QUANTITY, "not a number"),
    ("quantity-with-thousands", "quantity_sold", '"1,200"', QUANTITY, "not a number"),
    ("quantity-with-two-points", "quantity_sold", "1.200.5", QUANTITY, "not a number"),
    ("quantity-with-underscore", "quantity_sold", "1_200", QUANTITY, "not a number"),
    ("quantity-with-narrow-space", "quantity_sold", "1\u202f200", QUANTITY, "not a number"),
    ("quantity-with-minus-sign", "quantity_sold", "−3", QUANTITY, "not a number"),
    ("quantity-in-wide-digits", "quantity_sold", "１２", QUANTITY, "not a number"),
    ("quantity-in-brackets", "quantity_sold", "(12)", QUANTITY, "not a number"),
    ("quantity-as-formula", "quantity_sold", "=1+1", QUANTITY, "not a number"),
    ("quantity-as-sum", "quantity_sold", "+-12", QUANTITY, "not a number"),
    ("quantity-true", "quantity_sold", "true", QUANTITY, "not a number"),
    ("quantity-with-spaces", "quantity_sold", " 7 ", QUANTITY, "not a number"),
    ("quantity-with-tab", "quantity_sold", "7\t", QUANTITY, "not a number"),
    ("quantity-with-invisible-mark", "quantity_sold", "7\u200b", QUANTITY, "not a number"),
    ("quantity-of-a-point", "quantity_sold", ".", QUANTITY, "not a number"),
    ("quantity-negative", "quantity_sold", "-1", NEGATIVE, "not between"),
    ("quantity-a-little-negative", "quantity_sold", "-1e-9", NEGATIVE, "not between"),
    ("quantity-too-large", "quantity_sold", "1000000001", NEGATIVE, "not between"),
    ("quantity-1e308", "quantity_sold", "1e308", NEGATIVE, "not between"),
    # price
    ("no-price", "price", "", PRICE, "missing"),
    ("price-with-euro", "price", "9.99 €", PRICE, "not a number"),
    ("price-with-dollar", "price", "$9.99", PRICE, "not a number"),
    ("price-with-decimal-comma", "price", '"9,99"', PRICE, "not a number"),
    ("price-inf", "price", "inf", PRICE, "not a number"),
    ("price-1e999", "price", "1e999", PRICE, "too large to be finite"),
    ("price-zero", "price", "0", POSITIVE, "not above zero"),
    ("price-zero-point-zero", "price", "0.00", POSITIVE, "not above zero"),
    ("price-minus-zero", "price", "-0", POSITIVE, "not above zero"),
    ("price-too-small-to-be-one", "price", "1e-400", POSITIVE, "not above zero"),
    ("price-negative", "price", "-9.99", POSITIVE, "not above zero"),
    ("price-too-large", "price", "1e10", POSITIVE, "at most 1,000,000,000"),
    # promotion
    ("no-promotion", "promotion", "", PROMOTION, "missing"),
    ("promotion-on", "promotion", "on", PROMOTION, "not one of"),
    ("promotion-2", "promotion", "2", PROMOTION, "not one of"),
    ("promotion-1.0", "promotion", "1.0", PROMOTION, "not one of"),
    ("promotion-in-german", "promotion", "ja", PROMOTION, "not one of"),
    ("promotion-with-space", "promotion", "true ", PROMOTION, "not one of"),
    ("promotion-in-wide-letters", "promotion", "ｔｒｕｅ", PROMOTION, "not one of"),
)
"""One cell each, in the third line of a file that is good otherwise."""

BAD_LINES: Final[tuple[tuple[str, str, str, str], ...]] = (
    ("too-few-fields", "2024-01-02,S2,P2,7,8.5", LINES, "expected 6 fields, found 5"),
    ("too-many-fields", _cell("price", "8.5,8.5"), LINES, "expected 6 fields, found 7"),
    ("a-delimiter-at-the-end", _cell("promotion", "true,"), LINES, "found 7"),
    ("a-thousand-fields", "," * 999, LINES, "found 1000"),
    ("another-delimiter", _cell("price", "8.5").replace(",", ";"), LINES, "found 1"),
    ("an-unquoted-decimal-comma", _cell("price", "8,5"), LINES, "found 7"),
    ("a-word", "TOTAL", LINES, "found 1"),
    ("a-line-of-spaces", "   ", LINES, "found 1"),
    ("a-second-header", HEADER, DAY, "yyyy-mm-dd"),
    ("text-after-a-quote", _cell("store_id", '"S"2'), LINES, "not CSV"),
    ("a-quote-never-closed", _cell("store_id", '"S2'), LINES, "never closed"),
    ("a-return-in-a-line", _cell("store_id", "S\r2"), LINES, "not CSV"),
    ("a-line-of-2-MB", _cell("store_id", "S" * 2_000_000), LINES, "longer than"),
    ("a-quoted-record-of-2-MB", _cell("store_id", '"' + "S\n" * 1_000_000 + '"'), LINES, "closed"),
)
"""One line each, in the third place."""

_ALL: Final = frozenset({(COLUMNS, 1)})
_FIRST: Final = frozenset({(LINES, 1)})


def _zip() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("sales.csv", csv_of(GOOD))
    return held.getvalue()


def _headers() -> Iterator[BadFile]:
    """The first line is wrong."""
    headers = {
        "no-header": (GOOD, "is missing"),
        "header-in-capitals": (HEADER.upper(), "'DATE' is there"),
        "header-in-title-case": (HEADER.title(), "'Date' is there"),
        "header-with-underscores-as-spaces": (HEADER.replace("_", " "), "'store_id' is missing"),
        "header-in-one-cell": (f'"{HEADER}"', "is missing"),
        "header-with-pipes": (HEADER.replace(",", "|"), "is missing"),
        "header-with-two-marks": ("\ufeff\ufeff" + HEADER, "'date' is missing"),
        "column-twice": (HEADER + ",price", "'price' is there 2 times"),
        "column-thrice": (HEADER + ",date, date ", "'date' is there 3 times"),
        "renamed-onto-another": (HEADER + ",Qty", "'quantity_sold' is there 2 times"),
        "column-without-a-name": (HEADER.replace("price", ""), "'price' is missing"),
        "column-in-another-script": (HEADER.replace("price", "рrice"), "'price' is missing"),
        "empty-first-line": ("", "the first line is empty"),
        "blank-first-line": ("  ", "the first line is empty"),
        "first-line-of-delimiters": (",,,,,", "is missing"),
        "a-title-above-the-header": ("Sales 2024\n" + HEADER, "is missing"),
        "json": ('{"date": "2024-01-01"}', "is missing"),
        "html": ("<!doctype html><title>Log in</title>", "is missing"),
    }
    for name, (header, reason) in headers.items():
        yield BadFile(name, csv_of(GOOD, header=header), _ALL, reason)
    for gone in HEADER.split(","):
        header = ",".join(column for column in HEADER.split(",") if column != gone)
        data = csv_of("1,2,3,4,5", header=header)
        yield BadFile(f"without-{gone}", data, _ALL, f"'{gone}' is missing")
    quoted = csv_of(GOOD, header=HEADER.replace("date", '"da"te'))
    yield BadFile("header-with-a-stray-quote", quoted, _FIRST, "header line is not CSV")
    open_quote = csv_of(GOOD, header=HEADER.replace("date", '"date'))
    yield BadFile("header-with-an-open-quote", open_quote, _FIRST, "header line is not CSV")
    nul = csv_of(GOOD, header=HEADER + "\0")
    yield BadFile("header-with-nul", nul, _FIRST, "NUL")
    yield BadFile("header-of-10-MB", b"x" * 10_000_000, _FIRST, "longer than")


def _encodings() -> Iterator[BadFile]:
    """Bytes that are no UTF-8."""
    text = csv_of(GOOD, "2024-01-02,Café,P,1,1,0").decode()
    third = frozenset({(LINES, 3)})
    yield BadFile("utf-16", text.encode("utf-16"), _FIRST, "UTF-16")
    yield BadFile("utf-16-big-endian", b"\xfe\xff" + text.encode("utf-16-be"), _FIRST, "UTF-16")
    yield BadFile("utf-16-without-mark", text.encode("utf-16-le"), _FIRST, "NUL")
    yield BadFile("utf-32", text.encode("utf-32"), _FIRST, "UTF-16")
    yield BadFile("latin-1", text.encode("latin-1"), third, "not UTF-8: byte 0xe9")
    yield BadFile("half-a-character", csv_of(GOOD) + b"2024-01-02,\xc3,P,1,1,0\n", third, "0xc3")
    surrogate = csv_of(GOOD) + b"2024-01-02,\xed\xa0\x80,P,1,1,0\n"
    yield BadFile("surrogates-in-utf-8", surrogate, third, "not UTF-8: byte 0xed")
    yield BadFile("overlong-utf-8", csv_of(GOOD) + b"2024-01-02,\xc0\xaf,P,1,1,0\n", third, "0xc0")
    yield BadFile("returns-as-line-ends", text.replace("\n", "\r").encode(), _FIRST, "not CSV")
    header = csv_of(GOOD, header=HEADER + ",Größe").decode().encode("latin-1")
    yield BadFile("header-in-latin-1", header, _FIRST, "not UTF-8: byte 0xf6")


def _containers() -> Iterator[BadFile]:
    """Files that are not what their names say, or broken off."""
    zipped = gzip.compress(csv_of(*[f"2024-01-01,S{n},P,1,1,0" for n in range(1000)]), mtime=0)
    good = gzip.compress(csv_of(GOOD), mtime=0)
    yield BadFile("zip", _zip(), _FIRST, "ZIP")
    yield BadFile("empty-zip", b"PK\x05\x06" + b"\0" * 18, _FIRST, "ZIP")
    yield BadFile("gzip", good, _FIRST, "gzip")
    yield BadFile("xz", lzma.compress(csv_of(GOOD)), _FIRST, "not UTF-8")
    yield BadFile("old-spreadsheet", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 64, _FIRST, "not UTF-8")
    yield BadFile("plain-text.csv.gz", csv_of(GOOD), _FIRST, "not gzip")
    yield BadFile("zip.csv.gz", _zip() + b"\n", _FIRST, "ZIP")
    yield BadFile("twice.csv.gz", gzip.compress(good, mtime=0), _FIRST, "compressed twice")
    inner = gzip.compress(_zip(), mtime=0)
    yield BadFile("zip-inside.csv.gz", inner, _FIRST, "ZIP")
    wide = gzip.compress(csv_of(GOOD).decode().encode("utf-16"), mtime=0)
    yield BadFile("utf-16-inside.csv.gz", wide, _FIRST, "UTF-16")
    yield BadFile("cut-in-its-header.csv.gz", good[:8], _FIRST, "corrupt")
    yield BadFile("cut-before-its-end.csv.gz", zipped[:-8], frozenset({(LINES, 1002)}), "corrupt")
    flipped = good[:-8] + bytes([good[-8] ^ 1]) + good[-7:]
    yield BadFile("wrong-checksum.csv.gz", flipped, frozenset({(LINES, 3)}), "corrupt")
    rubbish = good + b"rubbish"
    yield BadFile("rubbish-behind.csv.gz", rubbish, frozenset({(LINES, 3)}), "corrupt")
    empty = gzip.compress(b"", mtime=0)
    yield BadFile("empty-inside.csv.gz", empty, frozenset({(ROWS, 1)}), "empty")
    bomb = gzip.compress(csv_of(GOOD) + b"\0" * 30_000_000, mtime=0)
    yield BadFile("bomb-of-one-line.csv.gz", bomb, frozenset({(LINES, 3)}), "longer than")
    lines = gzip.compress(csv_of() + b"x\n" * 1000, mtime=0)
    every = frozenset((LINES, n + 2) for n in range(1000))
    yield BadFile("a-thousand-bad-lines.csv.gz", lines, every, "found 1")


def _without_rows() -> Iterator[BadFile]:
    """Nothing is in them."""
    yield BadFile("empty", b"", frozenset({(ROWS, 1)}), "empty")
    yield BadFile("mark-alone", BOM, frozenset({(ROWS, 1)}), "empty")
    yield BadFile("spaces-alone", b"   ", frozenset({(ROWS, 1)}), "empty")
    yield BadFile("header-alone", csv_of(), frozenset({(ROWS, 2)}), "no rows")
    yield BadFile("header-without-line-end", HEADER.encode(), frozenset({(ROWS, 2)}), "no rows")
    blank = csv_of("", "", "")
    yield BadFile("header-and-blank-lines", blank, frozenset({(ROWS, 5)}), "no rows")
    yield BadFile("one-newline", b"\n", _ALL, "the first line is empty")
    yield BadFile("newlines", b"\n" * 100_000, _ALL, "the first line is empty")
    yield BadFile("zeros", b"\0" * 4096, _FIRST, "NUL")


def _several() -> Iterator[BadFile]:
    """Lines that are bad together, and files with more than one fault."""
    twice = frozenset({(KEY, 2), (KEY, 4)})
    other = GOOD.replace("S1", "S2")
    yield BadFile("the-same-line-twice", csv_of(GOOD, other, GOOD), twice, "first on line 2")
    changed = csv_of(GOOD, other, GOOD.replace(",5,", ",6,"))
    yield BadFile("a-key-with-two-quantities", changed, twice, "2 times")
    unlike = csv_of('"2024-01-01","S1","P1",1,1,0', other, GOOD)
    yield BadFile("a-key-quoted-and-plain", unlike, twice, "2 times")
    thrice = frozenset((KEY, n) for n in (2, 3, 4))
    yield BadFile("a-key-thrice", csv_of(GOOD, GOOD, GOOD), thrice, "3 times")
    apart = [GOOD, *(f"2024-01-02,S{n},P,1,1,0" for n in range(5000)), GOOD]
    far = frozenset({(KEY, 2), (KEY, 5003)})
    yield BadFile("a-key-far-apart", csv_of(*apart), far, "first on line 2")
    # A space, or another way to write the same character, makes another store.
    alike = csv_of(GOOD, GOOD.replace("S1", "S1 "), GOOD.replace("S1", "s1"), _cell("price", "0"))
    yield BadFile("stores-alike-are-no-duplicates", alike, frozenset({(POSITIVE, 5)}), "above zero")
    line = csv_of("x,,,x,x,x")
    all_six = {(DAY, 2), (STORE, 2), (PRODUCT, 2), (QUANTITY, 2), (PRICE, 2), (PROMOTION, 2)}
    yield BadFile("a-line-without-a-good-cell", line, frozenset(all_six), "yyyy-mm-dd")
    mixed = csv_of(_cell("price", "0"), _cell("quantity_sold", "-1"), "x")
    three = {(POSITIVE, 2), (NEGATIVE, 3), (KEY, 2), (KEY, 3), (LINES, 4)}
    yield BadFile("a-fault-in-each-line", mixed, frozenset(three), "not between")
    over = csv_of('2024-01-01,"a\nb\nc",P,1,1,0', "2024-01-01,S,P,1,?,0")
    yield BadFile("behind-a-quoted-newline", over, frozenset({(PRICE, 5)}), "not a number")
    inside = csv_of('2024-01-01,"a\nb\nc",P,1,?,0')
    yield BadFile("in-a-record-of-three-lines", inside, frozenset({(PRICE, 2)}), "not a number")
    semicolons = csv_of(GOOD, _cell("price", "8,5"), header=HEADER).replace(b",", b";")
    found = frozenset({(LINES, 3)})
    yield BadFile("semicolons-and-a-field-too-many", semicolons, found, "found 7")
    comma = csv_of(
        GOOD.replace(",", ";"), "2024-01-02;S;P;1,5;1;0", header=HEADER.replace(",", ";")
    )
    yield BadFile("decimal-comma-and-semicolons", comma, frozenset({(QUANTITY, 3)}), "not a number")
    last = csv_of(GOOD) + _cell("price", "0").encode()
    yield BadFile("last-line-without-an-end", last, frozenset({(POSITIVE, 3)}), "above zero")
    returns = csv_of(GOOD, _cell("promotion", "?")).replace(b"\n", b"\r\n")
    yield BadFile("bad-with-windows-line-ends", returns, frozenset({(PROMOTION, 3)}), "not one of")
    marked = BOM + csv_of(GOOD, _cell("price", "x"))
    yield BadFile("bad-with-a-mark", marked, frozenset({(PRICE, 3)}), "not a number")
    deep = csv_of(*[f"2024-01-02,S{n},P,1,1,0" for n in range(200_000)], _cell("price", "none"))
    yield BadFile("the-last-of-200000-lines", deep, frozenset({(PRICE, 200_002)}), "not a number")
    hostile = csv_of(GOOD, _cell("price", "<script>alert(1)</script>"), _cell("price", "\u202e1"))
    yield BadFile(
        "hostile-cells", hostile, frozenset({(PRICE, 3), (PRICE, 4), (KEY, 3), (KEY, 4)}), ""
    )


def bad_files() -> list[BadFile]:
    """Every file of the corpus; names are those of files in ``raw/``."""
    found = [
        BadFile(name, csv_of(GOOD, _cell(column, text)), frozenset({(rule, 3)}), reason)
        for name, column, text, rule, reason in BAD_CELLS
    ]
    for name, text, rule, reason in BAD_LINES:
        faults = {(rule, 3)}
        if name == "a-second-header":
            faults |= {(QUANTITY, 3), (PRICE, 3), (PROMOTION, 3)}
        found.append(BadFile(name, csv_of(GOOD, text), frozenset(faults), reason))
    for more in (_headers, _encodings, _containers, _without_rows, _several):
        found += more()
    return [
        file if file.name.endswith(".gz") else BadFile(f"{file.name}.csv", *_rest(file))
        for file in found
    ]


def _rest(file: BadFile) -> tuple[bytes, frozenset[tuple[str, int]], str]:
    return file.data, file.faults, file.reason
