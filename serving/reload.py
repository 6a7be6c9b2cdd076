"""Keeps the newest verified model and state in: poll, fetch, verify, load beside, swap.

Two pointers are watched, ``serving/model.json`` and ``serving/state.json``. Whatever is wrong with
what one of them names, the last good one goes on serving and the log says why. A request takes
``Reloader.traffic`` once and so never mixes two versions. The challenger that the model's pointer
names is kept in by ``challenger.py``: the champion never waits for it. What answers at a start
without the store is in ``standby.py``.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final, Generic, TypeVar

from scalecast_assets.contract.layout import MODEL_POINTER, STATE_POINTER
from scalecast_assets.contract.pointers import MAX_POINTER_BYTES
from scalecast_assets.contract.store import (
    Blob,
    ObjectNotFound,
    ObjectStore,
    StoreError,
    StoreUnavailable,
)
from serving.challenger import ChallengerWatch
from serving.forecaster import Forecaster
from serving.last_good import LastGoodPairs
from serving.model import LoadedModel, load_model
from serving.standby import Standby
from serving.state import LoadedState, load_state
from serving.traffic import Rival, Traffic

logger = logging.getLogger(__name__)

T = TypeVar("T")

LONGEST_PAUSE: Final = 300.0
"""Seconds between two tries of something that was refused, at most."""

FIRST_LOOK_SECONDS: Final = 10.0
"""The start waits at most so long for the first look; then it answers 503 until one succeeds."""

STOP_SECONDS: Final = 2.0
"""The end waits at most so long for a look under way."""


class Watch(Generic[T]):
    """One pointer and the newest good thing it has named."""

    def __init__(
        self,
        store: ObjectStore,
        key: str,
        load: Callable[[bytes], T],
        note: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        """``note`` is told each outcome: accepted, refused, unreadable or missing."""
        self.value: T | None = None
        self.body: bytes | None = None
        """The pointer that named the value."""
        self.is_lent = False
        """Whether the value comes from the last good pair and not from the store."""
        self.is_reached = False
        """Whether the last look could ask the store."""
        self.key = key
        self._note = note
        self._store = store
        self._load = load
        self._seen: str | None = None
        self._refusals = 0
        self._retry_at = 0.0
        self._last_problem: str | None = None
        self._changing = threading.Lock()

    def lend(self, value: T) -> None:
        """Take ``value`` until the store has one."""
        with self._changing:
            if self.value is None:
                self.value, self.is_lent = value, True

    def poll(self, pause: float) -> None:
        """Look once; ``pause`` is the time between two looks, in seconds."""
        self.is_reached = self._look(pause)

    def _look(self, pause: float) -> bool:
        """Tell whether the store could be asked."""
        try:
            blob = self._changed()
        except ObjectNotFound:
            self._seen = None
            self._note("missing")
            self._report("is not there; `scalecast run` makes it")
            return True
        except StoreError as error:
            self._note("unreadable")
            self._report(f"cannot be read: {error}")
            return False
        if blob is None:
            if not self._refusals:
                self._last_problem = None
            return True
        try:
            value = self._load(blob.body)
        except StoreUnavailable as error:
            self._seen = None
            self._note("unreadable")
            self._report(f"names what cannot be read now: {error}")
            return False
        except Exception as error:  # hostile bytes may fail in any way; serving must go on
            self._refuse(blob.etag, error, pause)
        else:
            self._note("accepted")
            self._accept(blob, value)
        return True

    @property
    def problem(self) -> str | None:
        """What is wrong with the pointer or with what it names; None if nothing is."""
        return f"{self.key} {self._last_problem}" if self._last_problem else None

    def _changed(self) -> Blob | None:
        retry_is_due = self._refusals > 0 and time.monotonic() >= self._retry_at
        if self._seen is None or retry_is_due:
            return self._store.get(self.key, MAX_POINTER_BYTES)
        return self._store.get_if_changed(self.key, self._seen, MAX_POINTER_BYTES)

    def _accept(self, blob: Blob, value: T) -> None:
        with self._changing:
            self.value, self.body, self.is_lent = value, blob.body, False
        self._seen = blob.etag
        self._refusals = 0
        self._last_problem = None

    def _refuse(self, etag: str, error: Exception, pause: float) -> None:
        """Leave what this pointer names alone for a while: it may yet be completed."""
        self._refusals = self._refusals + 1 if etag == self._seen else 1
        self._seen = etag
        self._note("refused")
        self._retry_at = time.monotonic() + min(pause * 2**self._refusals, LONGEST_PAUSE)
        self._report(f"is refused: {type(error).__name__}: {error}")
        logger.debug("while loading what %s names", self.key, exc_info=error)

    def _report(self, text: str) -> None:
        if text != self._last_problem:
            kept = "the last good one goes on serving" if self.value else "nothing is served yet"
            logger.warning("%s %s (%s)", self.key, text, kept)
        self._last_problem = text


class Reloader:
    """Looks at both pointers from a thread of its own and swaps what answers in one assignment."""

    def __init__(
        self,
        store: ObjectStore,
        poll_seconds: float,
        note: Callable[[str, str], None] = lambda what, outcome: None,
        kept: LastGoodPairs | None = None,
    ) -> None:
        """``note`` is told what was looked at (model, state, pair, kept, challenger) and how.

        ``kept`` is where the last good pair is kept, if anywhere.
        """
        self.traffic: Traffic | None = None
        self.standby = Standby(store, kept, partial(note, "kept"))
        model, state = partial(load_model, store), partial(load_state, store)
        self.model = Watch(store, MODEL_POINTER, model, partial(note, "model"))
        self.state = Watch(store, STATE_POINTER, state, partial(note, "state"))
        self.challenger = ChallengerWatch(store, partial(note, "challenger"))
        self._note = partial(note, "pair")
        self._poll_seconds = poll_seconds
        self._stopping = threading.Event()
        self._looked_once = threading.Event()
        self._thread: threading.Thread | None = None
        self._swapping = threading.Lock()
        self._last_problem: str | None = None

    @property
    def current(self) -> Forecaster | None:
        """The champion that answers now."""
        traffic = self.traffic
        return traffic.champion if traffic else None

    def start(self, patience: float = FIRST_LOOK_SECONDS) -> None:
        """Begin to poll; wait at most ``patience`` seconds for the first look to be over.

        If nothing is in then, the last good pair answers until the store has one.
        """
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="reloader", daemon=True)
        self._thread.start()
        self._looked_once.wait(self.standby.patience(patience))
        if self.current is None:
            self._take_last_good()

    def stop(self) -> None:
        """End polling; a download under way is abandoned."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def reasons(self) -> dict[str, str]:
        """Say why nothing is served: by what is missing, what is known about it."""
        missing = {
            what: watch.problem or f"{watch.key} has not been read yet"
            for what, watch in (("model", self.model), ("state", self.state))
            if watch.value is None
        }
        if self.standby.problem:
            missing["kept"] = self.standby.problem
        return missing or {"pair": self._last_problem or "the model is being made ready"}

    def refresh(self) -> None:
        """Look at both pointers once; swap if the newest good pair is not the one that serves."""
        for watch in (self.model, self.state):
            watch.poll(self._poll_seconds)
        self._swap_if_newer()
        self._say_what_was_seen()

    def _swap_if_newer(self) -> None:
        model, state = self.model.value, self.state.value
        if model is None or state is None:
            return
        if self._is_served(model, state):
            self._last_problem = None
        elif not self._swap(model, state):
            return
        rival = self.challenger.fetched(model, state, self._poll_seconds)
        if rival is not None:
            self._let_challenge(rival)

    def _swap(self, model: LoadedModel, state: LoadedState) -> bool:
        """Let the pair answer from now on; if that fails, the next look tries again."""
        if model.manifest.contract_hash != state.contract_hash:
            self._note("mismatched")
            self._report(
                f"model {model.version} has the feature contract {model.manifest.contract_hash} "
                f"but the state {state.sha256[:12]} has {state.contract_hash}"
            )
            return False
        pair = f"model {model.version} with the state {state.sha256[:12]}"
        try:
            champion = Forecaster(model, state)
        except Exception as error:  # model and state are others' and may fail in any way
            self._note("failed")
            self._report(f"{pair} fails to answer", error)
            return False
        rival = self.challenger.at_hand(model, state)
        with self._swapping:
            self.traffic = Traffic(champion, rival)
        self._note("swapped")
        self._last_problem = None
        logger.info("serving %s, data until %s", pair, state.data_until)
        if rival is not None:
            logger.info("beside it %s %s", rival.entry.version, rival.entry.in_words())
        return True

    def _say_what_was_seen(self) -> None:
        watches = (self.model, self.state)
        self.standby.looked(
            confirmed=all(watch.is_reached for watch in watches),
            is_lent=any(watch.is_lent for watch in watches),
            problems="; ".join(filter(None, (watch.problem for watch in watches))),
        )

    def _take_last_good(self) -> None:
        found = self.standby.take()
        if found is None:
            return
        pair = f"model {found.model.version} with the state {found.state.sha256[:12]}"
        with self._swapping:
            if self.current is not None:  # the store came first
                return
            self.model.lend(found.model)
            self.state.lend(found.state)
            try:
                self.traffic = Traffic(Forecaster(found.model, found.state))
            except Exception as error:  # as below
                self._report(f"{pair}, the last good one, fails to answer", error)
                return
        self._say_what_was_seen()
        logger.warning("serving %s, the last good one, until the store has one", pair)

    def _keep_last_good(self) -> None:
        """Keep what answers, if it came from the store and nothing newer waits."""
        model, state = self.model, self.state
        if model.is_lent or state.is_lent or model.value is None or state.value is None:
            return
        if self._is_served(model.value, state.value) and model.body and state.body:
            self.standby.keep(model.body, state.body)

    def _is_served(self, model: LoadedModel, state: LoadedState) -> bool:
        served = self.current
        return served is not None and served.model is model and served.state is state

    def _let_challenge(self, rival: Rival) -> None:
        """Put the challenger beside the champion that answers."""
        served = self.traffic
        if served is not None and served.rival is not rival:
            self.traffic = Traffic(served.champion, rival)
            logger.info("beside it %s %s", rival.entry.version, rival.entry.in_words())

    def _report(self, problem: str, error: Exception | None = None) -> None:
        """Log the problem, unless it is what the last look found; an error's text may vary."""
        if error is not None:
            problem = f"{problem}: {type(error).__name__}"
        if problem != self._last_problem:
            kept = "the last good pair goes on serving" if self.current else "nothing is served yet"
            logger.warning("%s: %s", problem, kept, exc_info=error)
        self._last_problem = problem

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.refresh()
            except Exception as error:  # a bug here must not end polling for good
                self._report("looking for a new model or state failed", error)
            self._looked_once.set()
            self._keep_last_good()
            self._stopping.wait(self._poll_seconds)
