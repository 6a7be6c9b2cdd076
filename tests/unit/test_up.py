"""``scalecast up``: what it runs before the services, in which order they start, what it says."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from scalecast_assets.commands import up
from scalecast_assets.commands.sample import FILE_NAME
from scalecast_assets.commands.services import Service
from scalecast_assets.contract.store import DirectoryStore
from scalecast_assets.promotion.publishing import publish_bundle
from scalecast_assets.promotion.switching import promote
from scalecast_assets.runtime import Runtime, running
from scalecast_assets.settings import Settings

Files = Mapping[str, bytes]


@dataclass
class Stage:
    """A home with a real warehouse and store; services and runs are only noted."""

    runtime: Runtime
    noted: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    facts: list[dict[str, Any]] = field(default_factory=list)
    run_ends_with: int = 0
    run_makes: Callable[[], object] = lambda: None

    @property
    def store(self) -> DirectoryStore:
        return DirectoryStore(self.runtime.settings.home / "store")

    def up(self, *, with_sample: bool = True) -> int:
        return up.run_until_stopped(self.runtime, with_sample=with_sample, announce=self._announce)

    def has_data(self) -> None:
        with psycopg.connect(self.runtime.database_url) as connection:
            connection.execute(
                "insert into warehouse.demand_data (store_id, product_id, date, quantity_sold, "
                "price, promotion, file_seq) values ('S', 'P', '2024-01-01', 1, 1, false, 1)"
            )

    def run_everything(self, _: Runtime, files: Sequence[Path], **how: bool) -> SimpleNamespace:
        assert how == {"replace": False, "again": False}
        self.noted.append(f"run {[path.name for path in files]}")
        self.run_makes()
        return SimpleNamespace(exit_code=self.run_ends_with, to_json=lambda: {"promoted": True})

    def _announce(self, facts: dict[str, Any], text: str) -> None:
        self.facts.append(facts)
        self.said.append(text)


@pytest.fixture
def stage(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with running(Settings(home=tmp_path / "home", database_url=database_url)) as runtime:
        stage = Stage(runtime)

        class Noting:
            def __init__(self, _: Path) -> None: ...

            def __enter__(self) -> "Noting":
                return self

            def __exit__(self, *_: object) -> None:
                stage.noted.append("stop")

            def start(self, service: Service, environment: Mapping[str, str]) -> None:
                assert environment.items() >= runtime.environment.items()
                stage.noted.append(service.name)

            def wait_ready(self, service: Service) -> None: ...

            def watch(self) -> None: ...

        monkeypatch.setattr(up, "Services", Noting)
        monkeypatch.setattr(up, "run_everything", stage.run_everything)
        monkeypatch.setattr(up, "in_words", lambda _: "the leaderboard")
        monkeypatch.setattr(up, "ensure_manifest", lambda *_: stage.noted.append("parse"))
        yield stage


@pytest.fixture
def serve(
    stage: Stage, bundle_files: Files, manifest_fields: dict[str, Any]
) -> Callable[[], object]:
    """Publishes a model and points at it."""
    return lambda: promote(
        stage.store, publish_bundle(stage.store, bundle_files, manifest_fields).version, None
    )


SERVICES = ["prediction-api", "parse", "dagster-code", "dagster-ui", "dagster-daemon", "stop"]


def test_dbts_project_is_parsed_once_before_those_start_that_load_it(stage: Stage) -> None:
    assert stage.up(with_sample=False) == 0
    assert stage.noted == SERVICES


def test_an_empty_warehouse_gets_the_sample_and_the_welcome_a_request_to_try(
    stage: Stage, serve: Callable[[], object]
) -> None:
    stage.run_makes = serve
    assert stage.up() == 0
    assert stage.noted == [f"run ['{FILE_NAME}']", *SERVICES]
    assert stage.said[0] == "the leaderboard"
    assert "/predict" in stage.said[1]
    assert "STORE_001" in stage.said[1]
    assert stage.facts[1]["model"] == "1.0.0"


def test_an_earlier_run_that_was_broken_off_before_its_model_is_made_good(
    stage: Stage, serve: Callable[[], object]
) -> None:
    stage.has_data()
    stage.run_makes = serve
    assert stage.up() == 0
    assert stage.noted == ["run []", *SERVICES]
    assert "No model yet" not in stage.said[1]


def test_files_that_wait_in_an_empty_warehouse_are_not_mixed_with_the_sample(
    stage: Stage,
) -> None:
    stage.store.put("raw/ours.csv", b"date\n")
    assert stage.up() == 0
    assert stage.noted == ["run []", *SERVICES]


def test_with_data_and_a_model_nothing_is_run(stage: Stage, serve: Callable[[], object]) -> None:
    stage.has_data()
    serve()
    assert stage.up() == 0
    assert stage.noted == SERVICES


def test_without_a_model_the_welcome_says_how_to_get_one(stage: Stage) -> None:
    stage.has_data()
    stage.run_ends_with = 1
    assert stage.up() == 0, "what went wrong is best looked at in the UI"
    assert stage.noted == ["run []", *SERVICES]
    assert "No model yet: scalecast run" in stage.said[1]
    assert "curl" not in stage.said[1]
    assert stage.facts[1]["model"] is None


def test_a_sample_that_fails_ends_it_with_the_runs_exit_code(stage: Stage) -> None:
    stage.run_ends_with = 1
    assert stage.up() == 1
    assert stage.noted == [f"run ['{FILE_NAME}']"]
