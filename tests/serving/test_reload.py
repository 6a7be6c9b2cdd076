"""The reloader, one look at a time: what it swaps, tries again, logs once, and leaves unread."""

import os
import tracemalloc

import pytest

from scalecast_assets.contract.layout import MODEL_POINTER
from scalecast_assets.contract.store import DirectoryStore
from serving import reload
from serving.forecaster import Forecaster
from serving.model import LoadedModel
from serving.reload import Reloader
from serving.state import LoadedState
from tests.serving.conftest import Home
from tests.serving.makers import World, linear_graph, make_world, promote, set_up, write_state


class Flaky:
    """Makes forecasters, but fails as often as it is told to, each time in other words."""

    def __init__(self) -> None:
        self.failures_left = 0
        self.asked = 0

    def __call__(self, model: LoadedModel, state: LoadedState) -> Forecaster:
        self.asked += 1
        if self.failures_left:
            self.failures_left -= 1
            raise RuntimeError(f"no memory at {self.asked:#x}")
        return Forecaster(model, state)


@pytest.fixture
def flaky(monkeypatch: pytest.MonkeyPatch) -> Flaky:
    maker = Flaky()
    monkeypatch.setattr(reload, "Forecaster", maker)
    return maker


@pytest.fixture
def reloader(home: Home) -> Reloader:
    return Reloader(home.store, poll_seconds=0.0)


def served(reloader: Reloader) -> str | None:
    return reloader.current.model.version if reloader.current else None


def said(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in record.getMessage() for record in caplog.records)


def test_a_pair_that_fails_is_tried_at_each_look_and_told_once(
    home: Home, world: World, reloader: Reloader, flaky: Flaky, caplog: pytest.LogCaptureFixture
) -> None:
    set_up(home.store, world)
    reloader.refresh()
    promote(home.store, "1.1.0", linear_graph(), world.encoders)
    flaky.failures_left = 3

    for _ in range(3):
        reloader.refresh()
        assert served(reloader) == "1.0.0"
    assert said(caplog, "model 1.1.0 with the state") == 1
    assert said(caplog, "RuntimeError: the last good pair goes on serving") == 1
    assert "no memory at" in caplog.text

    reloader.refresh()
    assert served(reloader) == "1.1.0"


def test_a_first_pair_that_fails_is_tried_again(
    home: Home, world: World, reloader: Reloader, flaky: Flaky, caplog: pytest.LogCaptureFixture
) -> None:
    set_up(home.store, world)
    flaky.failures_left = 1
    reloader.refresh()
    assert served(reloader) is None
    assert said(caplog, "nothing is served yet") == 1

    reloader.refresh()
    assert served(reloader) == "1.0.0"


def test_a_new_failure_after_a_success_is_told_again(
    home: Home, world: World, reloader: Reloader, flaky: Flaky, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        set_up(home.store, world, linear_graph(bias=flaky.asked + 1.0))
        flaky.failures_left = 1
        reloader.refresh()
        reloader.refresh()
    assert said(caplog, "fails to answer") == 2


def test_a_pair_that_serves_is_not_made_anew_at_each_look(
    home: Home, world: World, reloader: Reloader, flaky: Flaky
) -> None:
    set_up(home.store, world)
    for _ in range(3):
        reloader.refresh()
    assert flaky.asked == 1
    write_state(home.store, make_world(seed=8).panel())
    for _ in range(3):
        reloader.refresh()
    assert flaky.asked == 2


def test_a_pair_that_does_not_fit_is_told_once(
    home: Home, world: World, reloader: Reloader, caplog: pytest.LogCaptureFixture
) -> None:
    set_up(home.store, world)
    reloader.refresh()
    write_state(home.store, world.panel("observed"))
    for _ in range(3):
        reloader.refresh()
    assert said(caplog, "has the feature contract") == 1
    assert served(reloader) == "1.0.0"


def test_a_huge_pointer_is_left_unread_and_the_last_good_model_serves_on(
    home: Home, world: World, reloader: Reloader, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(home.store, DirectoryStore)
    set_up(home.store, world)
    reloader.refresh()
    os.truncate(home.store.root / MODEL_POINTER, 256 << 20)

    tracemalloc.start()
    try:
        for _ in range(3):
            reloader.refresh()
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 2 << 20
    assert said(caplog, "larger than 65536 bytes") == 1
    assert served(reloader) == "1.0.0"

    promote(home.store, "1.1.0", linear_graph(), world.encoders)
    reloader.refresh()
    assert served(reloader) == "1.1.0"


def test_an_outage_is_told_once_and_the_next_one_again(
    home: Home, world: World, reloader: Reloader, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(home.store, DirectoryStore)
    set_up(home.store, world)
    reloader.refresh()
    serving, aside = home.store.root / "serving", home.store.root / "aside"
    for _ in range(2):
        serving.rename(aside)
        serving.symlink_to(aside)  # which the store refuses to read
        for _ in range(3):
            reloader.refresh()
        serving.unlink()
        aside.rename(serving)
        for _ in range(2):
            reloader.refresh()
    assert said(caplog, f"{MODEL_POINTER} cannot be read") == 2
    assert served(reloader) == "1.0.0"
