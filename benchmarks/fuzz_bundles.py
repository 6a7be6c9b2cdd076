"""Spoilt bundles, histories, pointers and lines of JSON, one after the other, in a bounded process.

    python -m benchmarks.fuzz_bundles [--seconds 60 | --rounds 1000] [--seed 1]

Each round takes a file of a good store, flips, cuts, repeats or splices its bytes, makes the
checksums right again (whoever can write a bundle can write those), and lets the sidecar's reloader
look. Must hold: what is not good is refused by a ``BundleError`` and the last good pair answers as
before; what was good after all answers; and the process stays below its limit (RLIMIT_DATA), so
that a breach would be a crash.
"""

import argparse
import contextlib
import datetime
import hashlib
import json
import logging
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Final

from benchmarks.soak_store import Contents, make_contents
from scalecast_assets.contract.bundle import FileEntry, Manifest
from scalecast_assets.contract.layout import (
    ENCODERS,
    INTERVALS,
    MANIFEST,
    MODEL,
    MODEL_POINTER,
    STATE_POINTER,
    model_key,
    state_key,
)
from scalecast_assets.contract.pointers import ServingPointer, StatePointer
from scalecast_assets.contract.store import DirectoryStore
from scalecast_assets.contract.strict_json import BundleError
from serving.errors import ApiError
from serving.forecaster import Question
from serving.reload import Reloader
from serving.rows import from_lines

LIMIT_BYTES: Final = 768 << 20
GOOD: Final = "1.0.0"
SPOILT: Final = "1.1.0"
STATE: Final = "state.npz"
LINES: Final = "lines"
TARGETS: Final = (
    *(ENCODERS, INTERVALS, MANIFEST, MODEL_POINTER, STATE_POINTER, STATE, LINES) * 4,
    MODEL,
)
"""What is spoilt. A graph is tried in a process of its own, which takes longest."""

DOCUMENTED: Final = ("BundleError", "StateError", "ObjectTooLarge")


def spoil(data: bytes, chance: random.Random) -> bytes:
    """Return the bytes with one to four faults in them."""
    spoilt = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        if not spoilt:
            break
        at, other = sorted(chance.randrange(len(spoilt) + 1) for _ in range(2))
        match chance.randrange(7):
            case 0:
                spoilt[min(at, len(spoilt) - 1)] ^= 1 << chance.randrange(8)
            case 1:
                del spoilt[at:other]
            case 2:
                del spoilt[at:]
            case 3:
                spoilt[at:at] = spoilt[at:other] * chance.choice((1, 2, 50))
            case 4:
                spoilt[at:at] = chance.randbytes(chance.randint(1, 20))
            case 5:
                spoilt[at:other] = chance.choice(SPLICES)
            case _:
                spoilt[at : at + 8] = (2 ** chance.choice((31, 32, 62))).to_bytes(8, "little")
    return bytes(spoilt)


SPLICES: Final = (
    b"[" * 5_000,
    b'{"a":' * 5_000,
    b"9" * 5_000,
    b"1e999",
    b"NaN",
    b"null",
    b'"\\ud800"',
    b"../../../etc/passwd",
    b"PK\x03\x04",
    b"\x00" * 100,
    b"\xff\xfe",
    b"cos\nsystem\n(S'false'\ntR.",
    b"-1",
    b'"version": "0.0.0", "version": "0.0.1"',
)


@dataclass
class Found:
    """What the rounds came to."""

    outcomes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


class _Refusals(logging.Handler):
    """Remembers what the reloader said of the last look."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


class Fuzzer:
    """A store with a good pair, a reloader that serves it, and ways to spoil what it looks at."""

    def __init__(self, store: DirectoryStore, seed: int) -> None:
        self._store = store
        self._chance = random.Random(seed)
        self._contents: Contents = make_contents(3, 4, with_xgboost=False)
        self._until = next(iter(self._contents.states))
        self._contents.fill(store, GOOD, self._until)
        self._refusals = _Refusals()
        logger = logging.getLogger("serving.reload")
        logger.handlers, logger.propagate = [self._refusals], False
        self._reloader = Reloader(store, 0.0)
        self._reloader.refresh()
        self._before = self._answer()
        self.found = Found()

    def round(self) -> None:
        """Spoil one thing, look, and put it back."""
        target = self._chance.choice(TARGETS)
        if target == LINES:
            self._spoil_lines()
            return
        self._refusals.said.clear()
        self._write_spoilt(target)
        self._reloader.refresh()
        self._judge(target)
        self._contents.point(self._store, GOOD, self._until)
        self._reloader.refresh()
        served = self._reloader.current
        if served is None or served.model.version != GOOD or self._answer() != self._before:
            self.found.problems.append(f"{target}: the good pair does not answer as before")

    def _judge(self, target: str) -> None:
        refusals = [text for text in self._refusals.said if "is refused: " in text]
        for text in refusals:
            kind = text.partition("is refused: ")[2].partition(":")[0]
            if kind not in DOCUMENTED:
                self.found.problems.append(f"{target}: {text[:300]}")
        if refusals:
            if self._answer() != self._before:
                self.found.problems.append(f"{target}: refused, but the answer has changed")
            self.found.outcomes[f"{target} refused"] += 1
            return
        self._answer()
        self.found.outcomes[f"{target} good after all"] += 1

    def _answer(self) -> list[tuple[float, str]]:
        """Ask what is served of a known series, one day and many days ahead, and of an unseen."""
        served = self._reloader.current
        assert served is not None
        asked = [(1, "S1", "P1"), (20, "S1", "P1"), (1, "S1", "NEW"), (-3, "NEW", "P1")]
        last = datetime.date.fromisoformat(self._until)
        found: list[tuple[float, str]] = []
        for ahead, store_id, product_id in asked:
            day = last + datetime.timedelta(days=ahead)
            answer = served.answer(Question(day, store_id, product_id, 5.0, False))
            found.append((answer.prediction, answer.source))
        return found

    def _write_spoilt(self, target: str) -> None:
        if target in (MODEL_POINTER, STATE_POINTER):
            good = self._store.get(target).body
            self._store.put(target, spoil(good, self._chance))
        elif target == STATE:
            named = StatePointer.parse(self._contents.states[self._until])
            data = spoil(self._contents.files[state_key(named.sha256)], self._chance)
            sha256 = hashlib.sha256(data).hexdigest()
            self._store.put(state_key(sha256), data)
            pointer = replace(named, sha256=sha256, size=max(len(data), 1))
            self._store.put(STATE_POINTER, pointer.to_bytes())
        else:
            self._write_bundle(target)

    def _write_bundle(self, target: str) -> None:
        files = {
            name: self._contents.files[model_key(SPOILT, name)]
            for name in (MODEL, ENCODERS, INTERVALS)
        }
        manifest = self._contents.files[model_key(SPOILT, MANIFEST)]
        if target == MANIFEST:
            manifest = spoil(manifest, self._chance)
        else:
            files[target] = spoil(files[target], self._chance)
            data = files[target]
            entry = FileEntry(hashlib.sha256(data).hexdigest(), len(data))
            parsed = Manifest.parse(manifest)
            # Larger than such a file may be: the old checksum stays.
            with contextlib.suppress(BundleError):
                manifest = replace(parsed, files={**parsed.files, target: entry}).to_bytes()
        for name, data in {**files, MANIFEST: manifest}.items():
            self._store.put(model_key(SPOILT, name), data)
        sha256 = hashlib.sha256(manifest).hexdigest()
        pointer = ServingPointer(SPOILT, sha256, None)
        self._store.put(MODEL_POINTER, pointer.to_bytes())

    def _spoil_lines(self) -> None:
        row = {"date": "2024-02-17", "store_id": "S1", "product_id": "P1", "price": 5.0}
        body = b"\n".join([json.dumps({**row, "promotion": True}).encode()] * 20)
        spoilt = spoil(body, self._chance)
        n_lines = sum(1 for line in spoilt.split(b"\n") if line.strip(b" \t\r"))
        try:
            asked = from_lines(spoilt)
        except ApiError:
            self.found.outcomes["lines refused"] += 1
            return
        self.found.outcomes["lines read, some refused" if asked.refused else "lines read"] += 1
        if len(asked.rows) + len(asked.refused) != n_lines:
            self.found.problems.append(f"{n_lines} lines, but {asked!r}")


def fuzz(rounds: int | None, seconds: float, seed: int) -> Found:
    """Spoil so often, or for so long."""
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(DirectoryStore(folder), seed)
        until = time.monotonic() + seconds
        done = 0
        while done < rounds if rounds is not None else time.monotonic() < until:
            fuzzer.round()
            done += 1
    return fuzzer.found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz_bundles")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, help="so many instead of so long")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES))
    began = time.monotonic()
    found = fuzz(given.rounds, given.seconds, given.seed)
    seconds = time.monotonic() - began
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{found.outcomes.total():,} rounds in {seconds:.0f} s, at most {most} MiB resident")
    for outcome, n in sorted(found.outcomes.items()):
        print(f"  {outcome:<34} {n:7,}")
    print(f"problems: {len(found.problems)}")
    for problem in found.problems[:10]:
        print(f"  {problem}")
    return 1 if found.problems else 0


if __name__ == "__main__":
    sys.exit(main())
