"""Keeps the challenger in that the champion's pointer names: fetch, verify, try, refuse.

It is loaded by the same steps as the champion, from an entry that was read with the champion's, and
nothing about it holds the champion up: what is wrong with it is told in the log and in the metrics
(``scalecast_reloads_total{what="challenger"}``), and tried again ever more rarely.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from scalecast_assets.contract.challenger import Challenger
from scalecast_assets.contract.layout import MODEL_POINTER
from scalecast_assets.contract.store import ObjectStore, StoreUnavailable
from scalecast_assets.contract.strict_json import BundleError
from serving.forecaster import Forecaster
from serving.model import LoadedModel, load_version
from serving.state import LoadedState
from serving.traffic import Rival

logger = logging.getLogger(__name__)

LONGEST_PAUSE: Final = 300.0
"""Seconds between two tries of one that was refused, at most."""


class ChallengerWatch:
    """The newest good challenger that stood beside a champion."""

    def __init__(
        self, store: ObjectStore, note: Callable[[str], None] = lambda outcome: None
    ) -> None:
        """``note`` is told each outcome: accepted, refused or unreadable."""
        self.problem: str | None = None
        self._store = store
        self._note = note
        self._model: LoadedModel | None = None
        self._rival: Rival | None = None
        self._refused: tuple[Challenger, str] | None = None
        self._refusals = 0
        self._retry_at = 0.0

    def at_hand(self, champion: LoadedModel, state: LoadedState) -> Rival | None:
        """Return the challenger if it needs nothing from the store; None if none is wanted."""
        entry = champion.challenger
        if entry is None:
            self._let_go(champion.spoilt)
            return None
        if not self._is_loaded(entry):
            return None
        return self._ready(entry, state)

    def fetched(self, champion: LoadedModel, state: LoadedState, pause: float) -> Rival | None:
        """Return the challenger, loaded if need be; ``pause`` is the time between two looks."""
        entry = champion.challenger
        if entry is None:
            return None
        if self._refused == (entry, state.sha256) and time.monotonic() < self._retry_at:
            return None
        try:
            if not self._is_loaded(entry):
                self._model = load_version(self._store, entry.version, entry.manifest_sha256)
                self._note("accepted")
            rival = self._made(entry, state)
        except StoreUnavailable as error:
            self._note("unreadable")
            self._report(f"{entry.version} cannot be read now: {error}")
            return None
        except Exception as error:  # hostile bytes may fail in any way; the champion must go on
            self._refuse(entry, state, error, pause)
            return None
        self._refusals, self._refused, self.problem = 0, None, None
        return rival

    def _is_loaded(self, entry: Challenger) -> bool:
        held = self._model
        return held is not None and (held.version, held.manifest_sha256) == (
            entry.version,
            entry.manifest_sha256,
        )

    def _ready(self, entry: Challenger, state: LoadedState) -> Rival | None:
        """Make it ready without a word; if that fails, ``fetched`` tries again and tells why."""
        try:
            return self._made(entry, state)
        except Exception:
            return None

    def _made(self, entry: Challenger, state: LoadedState) -> Rival:
        """Let the loaded model stand on the state; the same one as long as nothing changes."""
        model, rival = self._model, self._rival
        assert model is not None
        if rival is not None and rival.entry == entry and rival.forecaster.state is state:
            return rival
        if model.manifest.contract_hash != state.contract_hash:
            raise BundleError(
                f"it has the feature contract {model.manifest.contract_hash}, but the state "
                f"{state.sha256[:12]} has {state.contract_hash}"
            )
        on_state = rival is not None and rival.forecaster.state is state
        same = rival is not None and rival.forecaster.model is model
        forecaster = rival.forecaster if rival and on_state and same else Forecaster(model, state)
        made = Rival(entry, forecaster)
        made.of_panel  # noqa: B018  computed before the swap, not by the first request
        self._rival = made
        return made

    def _let_go(self, spoilt: str | None) -> None:
        self._model = self._rival = self._refused = None
        self._refusals = 0
        if spoilt is None:
            self.problem = None
        elif self.problem != spoilt:
            self._note("refused")
            self._report(spoilt)

    def _refuse(
        self, entry: Challenger, state: LoadedState, error: Exception, pause: float
    ) -> None:
        self._note("refused")
        self._model = self._rival = None
        self._refusals = self._refusals + 1 if self._refused == (entry, state.sha256) else 1
        self._refused = (entry, state.sha256)
        self._retry_at = time.monotonic() + min(pause * 2**self._refusals, LONGEST_PAUSE)
        self._report(f"{entry.version} is refused: {type(error).__name__}: {error}")
        logger.debug("while loading the challenger", exc_info=error)

    def _report(self, problem: str) -> None:
        if problem != self.problem:
            logger.warning(
                "challenger in %s: %s (the champion answers for all)", MODEL_POINTER, problem
            )
        self.problem = problem
