"""Stream a raw CSV file as blocks of landed rows and rejected lines.

Here: opening (plain or gzip), cutting the bytes into blocks of whole lines, and choosing the fast
or the exact way for each, or for pieces of it. Memory is bounded by the block, whatever the file. A
fault of the whole file (no rows, a missing column, a ZIP) is a rejected line like any other, so
that one report shows all. Not here: reading cells (``exact.py``, ``vectorised.py``) and storing
them (``landing.py``).
"""

import gzip
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Final

from scalecast_assets.ingest.exact import TOO_LONG, UNTERMINATED, read_exactly
from scalecast_assets.ingest.header import Layout, read_header
from scalecast_assets.ingest.lines import (
    BLOCK_BYTES,
    EXACT_BYTES,
    FILE_HAS_ROWS,
    LINES_ARE_WELL_FORMED,
    MAX_RECORD_BYTES,
    Block,
    RejectedLine,
    empty_rows,
    rejected,
)
from scalecast_assets.ingest.vectorised import read_fast

_BOM: Final = b"\xef\xbb\xbf"
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_CORRUPT: Final = (gzip.BadGzipFile, EOFError, zlib.error)


class RawFileError(ValueError):
    """The path is nothing that can be read as a file."""


@dataclass
class RawFile:
    """One raw file on local disk. Iterate over ``blocks()`` once; ``warnings`` fill on the way."""

    path: Path
    name: str
    renames: Mapping[str, str] = field(default_factory=dict)
    block_bytes: int = BLOCK_BYTES
    warnings: list[str] = field(default_factory=list)
    share: float = 0.0
    """How much of the file has been read, 0 to 1."""

    def __post_init__(self) -> None:
        if self.path.is_dir():
            raise RawFileError(f"{self.name}: expected a CSV file, found a directory; name a file")
        if not self.path.is_file():
            raise RawFileError(f"{self.name}: expected a CSV file, found nothing; check the path")

    def blocks(self) -> Iterator[Block]:
        """Yield the file's rows in order, with every fault."""
        with self.path.open("rb") as raw:
            fault = _fault_of_container(raw, self.name)
            if fault:
                yield _only(fault)
                return
            source = gzip.GzipFile(fileobj=raw) if _is_named_gzip(self.name) else raw
            size = max(self.path.stat().st_size, 1)
            for block in _Stream(self, source).blocks():
                self.share = raw.tell() / size
                yield block


def _is_named_gzip(name: str) -> bool:
    return name.lower().endswith(".gz")


def _only(fault: RejectedLine) -> Block:
    return Block(empty_rows(), [fault])


def _fault_of_container(raw: BinaryIO, name: str) -> RejectedLine | None:
    """A file that is not what its name says, told by its first bytes."""
    magic = raw.read(4)
    raw.seek(0)
    is_gzip = magic.startswith(_GZIP)
    if not magic:
        return rejected(1, "", "", FILE_HAS_ROWS, "the file is empty")
    reason = _no_text(magic)
    if reason is None and is_gzip and not _is_named_gzip(name):
        reason = "this is gzip, but the name does not end in .csv.gz; rename it"
    elif reason is None and _is_named_gzip(name) and not is_gzip:
        reason = "the name ends in .gz, but this is not gzip; rename it or compress it"
    return rejected(1, "", "", LINES_ARE_WELL_FORMED, reason) if reason else None


def _no_text(magic: bytes) -> str | None:
    """Why what begins like this is no CSV in UTF-8, in a file or inside gzip."""
    if magic.startswith(_ZIP):
        return "this is a ZIP archive (or a spreadsheet), not CSV; unpack it or export it as CSV"
    if magic.startswith(_UTF16):
        return "not UTF-8: this is UTF-16; save it as UTF-8"
    return None


class _Stream:
    """The walk over one file: bytes not read yet, the line they start at, rows so far."""

    def __init__(self, file: RawFile, source: BufferedReader | gzip.GzipFile) -> None:
        self._file = file
        self._source = source
        self._rest = b""
        self._line = 1
        self._rows = 0
        self._ended = False
        self._faulty = False
        self._corrupt: Exception | None = None

    def blocks(self) -> Iterator[Block]:
        yield from self._blocks()
        if self._corrupt:
            reason = f"the gzip data is corrupt from about this line on: {self._corrupt}"
            yield _only(rejected(self._line, "", "", LINES_ARE_WELL_FORMED, reason))

    def _blocks(self) -> Iterator[Block]:
        layout = self._header()
        if not isinstance(layout, Layout):
            yield Block(empty_rows(), layout)
            return
        if layout.extra:
            extra = ", ".join(repr(name) for name in layout.extra)
            self._file.warnings.append(f"columns that are not used were ignored: {extra}")
        while self._rest or not self._ended:
            for block in self._next_blocks(layout):
                self._rows += block.rows.num_rows
                self._faulty |= bool(block.rejected)
                yield block
        if not self._rows and not self._faulty and not self._corrupt:
            yield _only(
                rejected(self._line, "", "", FILE_HAS_ROWS, "the file has a header but no rows")
            )

    def _read(self, size: int) -> bytes:
        """Read some bytes, at most ``size``; none at the end, or where the gzip data is corrupt.

        What one read has unpacked is kept when the next finds the corruption, so that its line is
        known.
        """
        try:
            piece = self._source.read1(size)
        except _CORRUPT as error:
            self._corrupt, piece = error, b""
        self._ended = not piece
        return piece

    def _fill(self, size: int) -> None:
        """Have at least ``size`` bytes in hand, or the end of the file."""
        pieces, held = [self._rest], len(self._rest)
        while held < size and not self._ended:
            piece = self._read(size - held)
            pieces.append(piece)
            held += len(piece)
        self._rest = b"".join(pieces)
        if self._corrupt:  # What it broke off in is no line to judge.
            self._rest = self._rest[: self._rest.rfind(b"\n") + 1]

    def _header(self) -> Layout | list[RejectedLine]:
        while b"\n" not in self._rest and len(self._rest) <= MAX_RECORD_BYTES and not self._ended:
            self._fill(len(self._rest) + self._file.block_bytes)
        unpacked = self._rest[:4] if _is_named_gzip(self._file.name) else b""
        reason = _no_text(unpacked)
        if unpacked.startswith(_GZIP):
            reason = "there is gzip inside the gzip: the file was compressed twice; unpack it once"
        if reason:
            return [rejected(1, "", "", LINES_ARE_WELL_FORMED, reason)]
        self._rest = self._rest.removeprefix(_BOM)
        line, newline, rest = self._rest.partition(b"\n")
        if len(line) > MAX_RECORD_BYTES:
            return [rejected(1, "", _shown(line), LINES_ARE_WELL_FORMED, TOO_LONG)]
        if not newline and self._corrupt:
            return []
        if not line.strip() and not newline:
            return [rejected(1, "", "", FILE_HAS_ROWS, "the file is empty")]
        self._rest, self._line = rest, 2
        try:
            text = line.removesuffix(b"\r").decode()
        except UnicodeDecodeError as error:
            reason = f"not UTF-8: byte 0x{line[error.start]:02x}"
            return [rejected(1, "", _shown(line), LINES_ARE_WELL_FORMED, reason)]
        if "\0" in text:
            return [rejected(1, "", text, LINES_ARE_WELL_FORMED, "NUL bytes: this is not text")]
        return read_header(text, self._file.renames)

    def _next_blocks(self, layout: Layout) -> Iterator[Block]:
        self._fill(len(self._rest) + self._file.block_bytes)
        data, self._rest = self._rest, b""
        if not self._ended:
            cut = data.rfind(b"\n") + 1
            if not cut:
                yield from self._skip_line(data)
                return
            data, self._rest = data[:cut], data[cut:]
        if not data:
            return
        table = read_fast(data, self._line, layout)
        if table is None:
            yield from self._read_in_pieces(data, layout)
        else:
            self._line += table.num_rows
            yield Block(table, [])

    def _read_in_pieces(self, data: bytes, layout: Layout) -> Iterator[Block]:
        """Read lines of which some are odd, a piece after the other, so that objects stay few.

        A record that a piece leaves open is read with the next one.
        """
        begin, end = 0, 0
        while end < len(data):
            end = _end_of_line(data, end + EXACT_BYTES)
            piece = data[begin:end]
            is_last = end == len(data)
            table = None if is_last and begin == 0 else read_fast(piece, self._line, layout)
            if table is not None:
                self._line += table.num_rows
                yield Block(table, [])
                begin = end
                continue
            result = read_exactly(piece, self._line, layout, at_end=is_last and self._ended)
            yield result.block
            if result.open_record is None:
                self._line += piece.count(b"\n")
                begin = end
                continue
            self._line += result.open_record
            begin += _offset_of_line(piece, result.open_record)
            held = data[begin:end] + (self._rest if is_last else b"")
            if len(held) > MAX_RECORD_BYTES:
                yield _only(
                    rejected(self._line, "", _shown(held), LINES_ARE_WELL_FORMED, UNTERMINATED)
                )
                self._rest, self._ended = b"", True
                return
        self._rest = data[begin:] + self._rest

    def _skip_line(self, start: bytes) -> Iterator[Block]:
        """Pass over a line that fills a block alone, without keeping it."""
        if len(start) <= MAX_RECORD_BYTES:
            self._rest = start
            return
        yield _only(rejected(self._line, "", _shown(start), LINES_ARE_WELL_FORMED, TOO_LONG))
        while not self._ended:
            _, newline, rest = self._read(self._file.block_bytes).partition(b"\n")
            if newline:
                self._rest, self._line = rest, self._line + 1
                break


def _shown(data: bytes) -> str:
    return data[:1000].decode("utf-8", "replace")


def _end_of_line(data: bytes, offset: int) -> int:
    """Where the line ends that the byte before ``offset`` is of."""
    return data.find(b"\n", offset - 1) + 1 or len(data)


def _offset_of_line(data: bytes, line: int) -> int:
    offset = 0
    for _ in range(line):
        offset = data.index(b"\n", offset) + 1
    return offset
