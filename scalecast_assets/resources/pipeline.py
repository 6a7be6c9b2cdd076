"""The settings that assets need, as a Dagster resource; ``settings.py`` reads them."""

from pathlib import Path

import dagster as dg

from scalecast_assets.contract.columns import Calendar, feature_contract_hash
from scalecast_assets.settings import Settings


class PipelineResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Horizon, calendar, seed, budgets and the local folder for caches."""

    home: str
    calendar: str
    horizon_days: int
    day_final_hour: int
    seed: int
    columns: dict[str, str]
    fit_rows: dict[str, int]
    tune_rows: dict[str, int]

    @classmethod
    def from_settings(cls, settings: Settings) -> "PipelineResource":
        """Take over what the assets need of the settings."""
        return cls(
            home=str(settings.home),
            calendar=settings.calendar,
            horizon_days=settings.horizon_days,
            day_final_hour=settings.day_final_hour,
            seed=settings.seed,
            columns=settings.columns,
            fit_rows=settings.fit_rows,
            tune_rows=settings.tune_rows,
        )

    @property
    def calendar_mode(self) -> Calendar:
        """The calendar, typed."""
        return "observed" if self.calendar == "observed" else "store"

    @property
    def contract_hash(self) -> str:
        """The feature contract that everything of this pipeline is under."""
        return feature_contract_hash(self.calendar_mode)

    def folder(self, name: str) -> Path:
        """Return a folder of the home, made if missing."""
        folder = Path(self.home) / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder
