"""The questions of the soak, and what a calm sidecar answers to them for each version and history.

An answer under load must equal one of these; as each names its version and the day its history
ends, it is then the answer of that version from that history, whole.
"""

import json
import math
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import numpy as np

from benchmarks.soak_store import Contents, sidecar
from scalecast_assets.contract.store import DirectoryStore

TOLERANCE: Final = 1e-6
"""Relative: a day ahead is rolled to along whichever way was asked for first."""

ROWS: Final = 50


class Question(NamedTuple):
    """One request whose answer is known."""

    method: str
    path: str
    body: bytes | None
    kind: str

    @property
    def headers(self) -> dict[str, str]:
        """What its body is."""
        kind = "application/x-ndjson" if self.kind == "lines" else "application/json"
        return {"Content-Type": kind} if self.body is not None else {}


def make_questions(contents: Contents, n: int, seed: int = 3) -> list[Question]:
    """Make a mix: most ask for one day, the others for many, for the coming days, for history."""
    chance = random.Random(seed)
    panel = contents.panel
    last = np.datetime64(int(panel.end_day), "D")

    def row() -> dict[str, Any]:
        unseen = chance.random() < 0.05
        return {
            "date": str(last + chance.randint(-20, 20)),
            "store_id": chance.choice(panel.stores),
            "product_id": "NEVER SEEN" if unseen else chance.choice(panel.products),
            "price": round(chance.uniform(1, 20), 2),
            "promotion": chance.random() < 0.2,
            "level": chance.choice((50, 80, 90, 95)),
        }

    def one() -> Question:
        kind = chance.choices(
            ("one", "batch", "lines", "series", "store", "history", "page"),
            (60, 8, 8, 8, 3, 8, 5),
        )[0]
        store, product = chance.choice(panel.stores), chance.choice(panel.products)
        if kind == "one":
            return Question("POST", "/predict", _json(row()), kind)
        if kind == "batch":
            rows = [row() for _ in range(ROWS)]
            return Question("POST", "/predict/batch", _json({"rows": rows}), kind)
        if kind == "lines":
            body = b"\n".join(_json(row()) for _ in range(ROWS))
            return Question("POST", "/predict/batch", body, kind)
        if kind == "series":
            plan = [{"date": str(last + 2), "price": 3.5}]
            asked = {"store_id": store, "product_id": product, "horizon": 14, "plan": plan}
            return Question("POST", "/forecast", _json(asked), kind)
        if kind == "store":
            return Question("POST", "/forecast", _json({"store_id": store, "horizon": 7}), kind)
        if kind == "history":
            return Question("GET", f"/history?store_id={store}&product_id={product}", None, kind)
        return Question("GET", chance.choice(("/", "/page/app.js", "/page/style.css")), None, kind)

    return [one() for _ in range(n)]


def known_answers(contents: Contents, questions: list[Question]) -> list[list[Any]]:
    """Ask a sidecar that nobody disturbs; returns every right answer to each question."""
    answers: list[list[Any]] = [[] for _ in questions]
    with tempfile.TemporaryDirectory() as folder:
        store = DirectoryStore(Path(folder) / "store")
        version, until = next(iter(contents.models)), next(iter(contents.states))
        contents.fill(store, version, until)
        environment = {"SCALECAST_POLL_SECONDS": "0.05", "SCALECAST_LOG_LEVEL": "error"}
        process, url = sidecar(environment, folder, None)
        try:
            with httpx.Client(base_url=url, timeout=30) as client:
                for version, until in _pairs(contents):
                    contents.point(store, version, until)
                    wait_until_served(url, version, until)
                    for question, known in zip(questions, answers, strict=True):
                        found = read(question, _ask(client, question))
                        if not any(same(found, one) for one in known):
                            known.append(found)
        finally:
            process.terminate()
            process.wait(20)
    return answers


def read(question: Question, reply: httpx.Response) -> Any:
    """Return what an answer says, in a form that can be compared."""
    if question.kind == "page":
        return reply.text
    if question.kind == "lines":
        return [json.loads(line) for line in reply.text.splitlines()]
    return reply.json()


def same(found: Any, known: Any) -> bool:
    """Tell whether two documents are equal, numbers to ``TOLERANCE``."""
    if isinstance(known, dict):
        return (
            isinstance(found, dict)
            and found.keys() == known.keys()
            and all(same(found[name], value) for name, value in known.items())
        )
    if isinstance(known, list):
        return isinstance(found, list) and len(found) == len(known) and all(map(same, found, known))
    if isinstance(known, float) and isinstance(found, float):
        return math.isclose(found, known, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(found == known)


def _pairs(contents: Contents) -> Iterator[tuple[str, str]]:
    for until in contents.states:
        for version in contents.models:
            yield version, until


def wait_until_served(url: str, version: str, until: str) -> None:
    """Wait until the sidecar answers from this version and the history until that day."""
    deadline = time.monotonic() + 60
    while True:
        try:
            ready = httpx.get(f"{url}/ready").json()
            if (ready.get("model_version"), ready.get("data_until")) == (version, until):
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            raise SystemExit(f"{version} with the history until {until} was not served")
        time.sleep(0.02)


def _ask(client: httpx.Client, question: Question) -> httpx.Response:
    reply = client.request(
        question.method, question.path, content=question.body, headers=question.headers
    )
    if reply.status_code != 200:
        raise SystemExit(f"{question.path} is answered {reply.status_code}: {reply.text[:300]}")
    return reply


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
