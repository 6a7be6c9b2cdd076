"""Typed settings: every ``SCALECAST_…`` variable the pipeline knows, with its default.

Read from the environment (a ``.env`` in the working directory fills what is not set there) by
``Settings.load()`` and by nothing else. The sidecar has its own, smaller ``serving/settings.py``.
"""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Self

from dotenv import load_dotenv
from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from scalecast_assets import keys
from scalecast_assets.contract.columns import MAX_HORIZON_DAYS, RAW_COLUMNS, Calendar

PROJECT_ROOT: Final = Path(__file__).resolve().parent.parent
"""The checkout: ``dbt_project``, ``workspace.yaml`` and ``dagster.yaml`` live here."""

PREFIX: Final = "SCALECAST_"

FOREIGN: Final = frozenset(
    {
        "SCALECAST_API_HOST",
        "SCALECAST_POLL_SECONDS",
        "SCALECAST_SERVING_CACHE",
        "SCALECAST_API_KEYS",
        "SCALECAST_API_KEYS_FILE",
        "SCALECAST_METRICS_KEYS",
        "SCALECAST_BODY_SECONDS",
        "SCALECAST_CORS_ORIGINS",
        "SCALECAST_LOG_FORMAT",
        "SCALECAST_LOG_REQUESTS",
        "SCALECAST_MAX_BATCHES",
        "SCALECAST_MAX_BATCH_BYTES",
        "SCALECAST_MAX_BODY_BYTES",
        "SCALECAST_MAX_REQUESTS",
        "SCALECAST_REQUEST_SECONDS",
        "SCALECAST_LOG_LEVEL",
        "SCALECAST_BENCH_DATA",
        "SCALECAST_CODE_HOST",
        "SCALECAST_CODE_PORT",
        "SCALECAST_PG_HOST",
        "SCALECAST_PG_PORT",
        "SCALECAST_PG_USER",
        "SCALECAST_PG_PASSWORD",
        "SCALECAST_PG_DATABASE",
        "SCALECAST_PG_SSLMODE",
        "SCALECAST_PG_SSLROOTCERT",
        "SCALECAST_PG_SSLCERT",
        "SCALECAST_PG_SSLKEY",
        "SCALECAST_PG_CONNECT_TIMEOUT",
        "SCALECAST_PG_KEEPALIVES_IDLE",
    }
)
"""Names that belong to the sidecar, to workspace.yaml, to dbt's profile or to the benchmarks."""

FITTED: Final = (keys.LINEAR_REGRESSION, keys.RANDOM_FOREST, keys.XGBOOST, keys.PYTORCH_NN)
TUNED: Final = (keys.RANDOM_FOREST, keys.XGBOOST)
"""The candidates with a budget of rows for fitting, and those that besides tune on one."""

SCORED_DAYS: Final = 91 + MAX_HORIZON_DAYS
"""Corrections are followed 91 days back, and what was promised that day up to a horizon before."""

NEWS_DAYS: Final = 8
"""More than ``alerting`` looks back for what was told (``cause.NEWS``)."""

NEVER_EMPTY: Final = frozenset({"home", "database_url", "store_url"})
"""Settings whose empty value is an error; of all others it is as if they were not set."""

OFF: Final = "off"
"""What a schedule is set to that shall never run."""


class SettingsError(ValueError):
    """A setting is unknown, malformed or contradicts another; the message names it."""


class Settings(BaseSettings):
    """What the pipeline can be told from outside. Immutable once loaded."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    home: Path = Field(
        default=Path(".scalecast"),
        description="Folder of everything that is kept on this machine.",
    )
    database_url: str | None = Field(
        default=None,
        description="Postgres of the warehouse, postgresql://…; unset: an embedded one.",
    )
    dagster_database_url: str | None = Field(
        default=None,
        description="Postgres of Dagster's own storage; unset: the warehouse's, schema dagster.",
    )
    reader_password: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Of the role scalecast_reader, which only reads; `setup-store` makes it.",
    )
    dagster_config: Path | None = Field(
        default=None,
        description="A YAML file whose sections are added to dagster.yaml: a run launcher, say.",
    )
    store_url: str | None = Field(
        default=None,
        description="s3://bucket/prefix or file:///folder; unset: a folder of the home.",
    )
    calendar: Calendar = Field(
        default="store",
        description="`store`: open days without a row are zeros; `observed`: rows as they come.",
    )
    columns: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict,
        description="Your own headers, as `date=Day,quantity_sold=Units` (ours=yours).",
    )
    horizon_days: int = Field(
        default=14,
        ge=1,
        le=MAX_HORIZON_DAYS,
        description="Length of the holdout, and of the forecasts a model is chosen for, in days.",
    )
    day_final_hour: int = Field(
        default=6,
        ge=0,
        le=47,
        description="Hours (UTC) after its end from which a store's latest day counts as complete.",
    )
    drift_threshold: float = Field(
        default=0.2,
        gt=0,
        description="Population stability index of a feature above which retraining is requested.",
    )
    live_error_ratio: float = Field(
        default=1.3,
        ge=1,
        description="Live WAPE over the holdout's above which retraining is requested.",
    )
    seed: int = Field(default=42, ge=0, le=2**32 - 1, description="Seed of every sampling and fit.")
    fit_rows: Annotated[dict[str, int], NoDecode] = Field(
        default_factory=dict,
        description="Other row budgets for fitting, as `random_forest=200000,pytorch_nn=300000`.",
    )
    tune_rows: Annotated[dict[str, int], NoDecode] = Field(
        default_factory=dict,
        description="Other row budgets for tuning, in the same form.",
    )
    ingest_on_arrival: bool = Field(
        default=True,
        description="Whether files that arrive in raw/ are loaded without anybody asking.",
    )
    sensor_seconds: int = Field(
        default=30,
        ge=5,
        le=3600,
        description="Seconds between two looks into raw/.",
    )
    retrain_schedule: str = Field(
        default="0 3 * * 1",
        description="When models are trained anew, a cron string in UTC; `off`: on request only.",
    )
    max_run_hours: float = Field(
        default=24,
        ge=0,
        description="Hours after which a run ends itself, from its turn on; 0: never.",
    )
    alert_webhook_url: SecretStr | None = Field(
        default=None,
        description="Alerts are POSTed there as JSON, https://…; unset: not.",
    )
    alert_slack_url: SecretStr | None = Field(
        default=None,
        description="Incoming webhook of Slack or what takes the same, https://…; unset: not.",
    )
    alert_smtp_url: SecretStr | None = Field(
        default=None,
        description="Alerts by mail, smtp://user:password@host:port?from=…&to=…,…; unset: not.",
    )
    alert_cleared: bool = Field(
        default=False,
        description="Whether a second message says that the cause of an alert is gone.",
    )
    stale_feed_hours: int = Field(
        default=36,
        ge=0,
        le=24 * 365,
        description="Hours without a new file after which the feed is stale; 0: never.",
    )
    keep_models: int = Field(
        default=10,
        ge=0,
        description="Model versions to keep, the served and the one before besides; 0: all.",
    )
    keep_training_sets_days: int = Field(
        default=30,
        ge=0,
        description="Days to keep training sets and candidates of no kept version; 0: for ever.",
    )
    keep_states_days: int = Field(
        default=7,
        ge=0,
        description="Days to keep serving states that are not served any more; 0: for ever.",
    )
    keep_forecasts_days: int = Field(
        default=150,
        ge=0,
        description="Days of origins to keep in ml.forecasts and forecasts/, 147 or more; 0: all.",
    )
    keep_quarantine_days: int = Field(
        default=90,
        ge=0,
        description="Days to keep the folders of refused files under quarantine/; 0: for ever.",
    )
    keep_logs_days: int = Field(
        default=30,
        ge=0,
        description="Days to keep logs and cached files under the home; 0: for ever.",
    )
    keep_alerts_days: int = Field(
        default=180,
        ge=0,
        description="Days to keep alerts after their cause is gone, 8 or more; 0: for ever.",
    )
    keep_runs_days: int = Field(
        default=90,
        ge=0,
        description="Days to keep Dagster's records of runs that ended; 0: for ever.",
    )
    ui_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Port of the Dagster UI; unset: 3000, or the next free one.",
    )
    ui_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Names of the Dagster UI behind a proxy of yours, as `dagster.example,…`.",
    )
    api_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Port of the prediction API; unset: 8000, or the next free one.",
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, given: dict[str, object]) -> dict[str, object]:
        """So that docker-compose.yml can pass on what is set and what is not, by one line each.

        Not where everything is kept: a secret that got lost must not become an embedded database.
        """
        return {name: value for name, value in given.items() if value != "" or name in NEVER_EMPTY}

    @field_validator("home", mode="before")
    @classmethod
    def _named_folder(cls, value: object) -> object:
        if value == "":
            raise ValueError("expected a folder; unset it for the default")
        return value

    @field_validator("ui_hosts", mode="before")
    @classmethod
    def _parse_names(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        names = tuple(filter(None, (part.strip() for part in value.split(","))))
        for name in names:
            if not re.fullmatch(r"[A-Za-z0-9.-]+(:\d+)?", name):
                raise ValueError(f"expected names, with a port if it is in the address: {name!r}")
        return names

    @field_validator("columns", "fit_rows", "tune_rows", mode="before")
    @classmethod
    def _parse_pairs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs: dict[str, str] = {}
        for part in filter(None, (part.strip() for part in value.split(","))):
            name, separator, given = part.partition("=")
            if not separator or not name.strip() or not given.strip():
                raise ValueError(f"expected name=value pairs separated by commas, found {part!r}")
            if name.strip() in pairs:
                raise ValueError(f"{name.strip()!r} is given twice")
            pairs[name.strip()] = given.strip()
        return pairs

    @field_validator("columns")
    @classmethod
    def _known_columns(cls, value: dict[str, str]) -> dict[str, str]:
        if unknown := sorted(set(value) - set(RAW_COLUMNS)):
            raise ValueError(
                f"{unknown[0]!r} is no column of ours; those are {', '.join(RAW_COLUMNS)}"
            )
        if len(set(value.values())) < len(value):
            raise ValueError("two of our columns are mapped to the same header")
        return value

    @field_validator("fit_rows", "tune_rows")
    @classmethod
    def _known_candidates(cls, value: dict[str, int], info: ValidationInfo) -> dict[str, int]:
        known = FITTED if info.field_name == "fit_rows" else TUNED
        for name, rows in value.items():
            if name not in known:
                raise ValueError(f"{name!r} has no row budget; these have: {', '.join(known)}")
            if rows < 100:
                raise ValueError(f"{name}={rows}: a budget is at least 100 rows")
        return value

    @field_validator("keep_forecasts_days")
    @classmethod
    def _as_long_as_scored(cls, value: int) -> int:
        if 0 < value < SCORED_DAYS:
            raise ValueError(
                f"corrections of sales are scored against forecasts of the last {SCORED_DAYS} days:"
                f" expected 0 (for ever), or {SCORED_DAYS} or more"
            )
        return value

    @field_validator("keep_alerts_days")
    @classmethod
    def _as_long_as_news(cls, value: int) -> int:
        if 0 < value < NEWS_DAYS:
            raise ValueError(
                "whether a cause was told already is asked of the last week's alerts:"
                f" expected 0 (for ever), or {NEWS_DAYS} or more"
            )
        return value

    @field_validator("retrain_schedule")
    @classmethod
    def _cron(cls, value: str) -> str:
        if value == OFF or value == cls.model_fields["retrain_schedule"].default:
            return value
        import dagster as dg  # takes a second, which nobody shall wait for who sets nothing

        try:
            dg.ScheduleDefinition(name="schedule", job_name="job", cron_schedule=value)
        except dg.DagsterInvalidDefinitionError:
            raise ValueError(
                "expected a cron string of five fields such as '0 3 * * 1' (Mondays at 03:00 UTC), "
                f"or {OFF!r}"
            ) from None
        return value

    @field_validator("database_url", "dagster_database_url")
    @classmethod
    def _postgres_url(cls, value: str | None) -> str | None:
        schemes = ("postgresql", "postgres", "postgresql+psycopg2")
        if value is not None and value.partition("://")[0] not in schemes:
            raise ValueError("expected postgresql://user:password@host:port/database")
        return value

    @field_validator("store_url")
    @classmethod
    def _store_url(cls, value: str | None) -> str | None:
        if value is None:
            return value
        scheme, _, rest = value.partition("://")
        if scheme not in ("s3", "file"):
            raise ValueError("expected s3://bucket/prefix or file:///folder")
        if scheme == "s3" and {"@", ":"} & set(rest.partition("/")[0]):
            raise ValueError("holds credentials; give AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY")
        return value

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        if self.ui_port is not None and self.ui_port == self.api_port:
            raise ValueError(f"SCALECAST_UI_PORT and SCALECAST_API_PORT are both {self.ui_port}")
        if self.dagster_database_url and not self.database_url:
            raise ValueError(
                "SCALECAST_DAGSTER_DATABASE_URL is set but SCALECAST_DATABASE_URL is not: "
                "Dagster's storage would outlive an embedded warehouse"
            )
        return self

    @classmethod
    def load(cls, **overrides: Any) -> "Settings":
        """Read the environment and ``.env``.

        Raises:
            SettingsError: naming the variable that is unknown, malformed or contradictory.
        """
        load_dotenv(Path.cwd() / ".env", override=False)
        _refuse_unknown(os.environ)
        try:
            settings = cls(**overrides)
        except ValidationError as error:
            raise SettingsError(_explain(error)) from None
        return settings.model_copy(update={"home": settings.home.expanduser().absolute()})

    @property
    def retrain_cron(self) -> str | None:
        """The cron string of the retraining schedule; None where there is none."""
        return None if self.retrain_schedule == OFF else self.retrain_schedule

    @property
    def resolved_store_url(self) -> str:
        """The store's URL, the default under the home included."""
        return self.store_url or (self.home / "store").as_uri()


def variable(field: str) -> str:
    """Name the environment variable of a field of ``Settings``."""
    return PREFIX + field.upper()


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = {variable(field) for field in Settings.model_fields} | FOREIGN
    unknown = sorted(n for n in environment if n.startswith(PREFIX) and n not in known)
    if unknown:
        alike = get_close_matches(unknown[0], known, n=1)
        meant = f" (did you mean {alike[0]}?)" if alike else ""
        raise SettingsError(
            f"{unknown[0]} is not a setting of ScaleCast. Remove it, or correct its name{meant}; "
            "`scalecast settings` lists them"
        )


def _explain(error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        name = variable(str(item["loc"][0])) if item["loc"] else "settings"
        message = item["msg"].removeprefix("Value error, ")
        told = item["loc"] and not re.search("url|password", name.lower())
        found = f", found {item['input']!r}" if told else ""
        lines.append(f"{name}: {message}{found}" if item["loc"] else message)
    return "; ".join(lines)
