"""A shop whose alerts are heard: the project's own ingestion, breaker and guard on a real instance.

What stands for features and models are small assets that do what a test tells them to.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg

from scalecast_assets import keys
from scalecast_assets.alerting import book
from scalecast_assets.alerting.sensor import build_alert_sensor
from scalecast_assets.assets.ingestion import RawFormat, demand_data, raw_demand, raw_files
from scalecast_assets.checks.expectations import raw_demand_suite
from scalecast_assets.checks.guard import require_gates
from scalecast_assets.resources.alerts import AlertChannels
from scalecast_assets.resources.object_store import ObjectStoreResource
from scalecast_assets.resources.warehouse import WarehouseResource
from tests.alert_listeners import HttpListener, SmtpListener
from tests.factories_files import GOOD, csv_of

BAD = GOOD.replace("9.99", "0")
FEATURES = dg.AssetCheckKey(dg.AssetKey(keys.DEMAND_FEATURES), "features_match_the_calendar")
MODEL = dg.AssetCheckKey(dg.AssetKey(keys.MODEL_COMPARISON), "onnx_equals_native_model")


@dataclass
class Behaviour:
    """What the small assets do."""

    broken: dict[str, Exception] = field(default_factory=dict)
    """By asset: what it raises."""
    refused: dict[str, str] = field(default_factory=dict)
    """By asset: why its gate does not pass."""
    training_set: str = "a" * 64

    def act(self, name: str) -> None:
        if name in self.broken:
            raise self.broken[name]


def build_assets(behaviour: Behaviour) -> list[Any]:
    """Features, training set, comparison and promotion, each with its gate or guard."""

    def judge(gate: dg.AssetCheckKey) -> dg.AssetChecksDefinition:
        @dg.asset_check(
            name=gate.name, asset=gate.asset_key, blocking=True, description="must hold"
        )
        def check() -> dg.AssetCheckResult:
            name = gate.asset_key.to_user_string()
            behaviour.act(gate.name)
            reason = behaviour.refused.get(name)
            return dg.AssetCheckResult(passed=reason is None, description=reason)

        return check

    @dg.asset(name=keys.DEMAND_FEATURES, deps=[keys.DEMAND_DATA])
    def features() -> None:
        behaviour.act(keys.DEMAND_FEATURES)

    @dg.asset(name=keys.TRAINING_SET, deps=[keys.DEMAND_FEATURES])
    def training_set(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        require_gates(context, FEATURES)
        behaviour.act(keys.TRAINING_SET)
        return dg.MaterializeResult(metadata={"sha256": behaviour.training_set})

    @dg.asset(name=keys.MODEL_COMPARISON, deps=[keys.TRAINING_SET])
    def comparison() -> None:
        behaviour.act(keys.MODEL_COMPARISON)

    @dg.asset(name=keys.PROMOTED_MODEL, deps=[keys.MODEL_COMPARISON])
    def promoted(context: dg.AssetExecutionContext) -> None:
        require_gates(context, MODEL)

    return [features, training_set, comparison, promoted, judge(FEATURES), judge(MODEL)]


class Shop:
    """A pipeline with its sensor, a bucket, a database and listeners."""

    def __init__(self, url: str, folder: Path, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.url = url
        self.behaviour = Behaviour()
        self.store_resource = ObjectStoreResource(url=(folder / "store").as_uri())
        self.store = self.store_resource.store()
        self.http, self.smtp = HttpListener(), SmtpListener()
        self.options: dict[str, Any] = {"stale_feed_hours": 36}

    @contextmanager
    def open(self) -> Iterator["Shop"]:
        with self.http.listening(), self.smtp.listening():
            self.define()
            yield self

    def define(self, **options: Any) -> None:
        """Load the code, anew: what it kept in memory is gone."""
        self.options |= options
        self.sensor = build_alert_sensor(
            breakers={"features": [FEATURES]}, model_gates=[MODEL], **self.options
        )
        mail = f"smtp://127.0.0.1:{self.smtp.port}?from=a@shop.example&to=b@shop.example"
        self.definitions = dg.Definitions(
            assets=[raw_files, raw_demand, demand_data, *build_assets(self.behaviour)[:4]],
            asset_checks=[raw_demand_suite, *build_assets(self.behaviour)[4:]],
            sensors=[self.sensor],
            executor=dg.in_process_executor,
            resources={
                "warehouse": WarehouseResource(url=self.url),
                "store": self.store_resource,
                "raw_format": RawFormat(),
                "alert_channels": AlertChannels.from_urls(
                    webhook_url=self.http.url, slack_url=self.http.url, smtp_url=mail
                ),
            },
        )

    def run(self, *assets: str, **tags: str) -> bool:
        job = self.definitions.resolve_implicit_global_asset_job_def()
        selection = [dg.AssetKey(name) for name in assets or (keys.RAW_DEMAND, keys.DEMAND_DATA)]
        result = job.execute_in_process(
            instance=self.instance, asset_selection=selection, raise_on_error=False, tags=tags
        )
        return result.success

    def tick(self) -> str:
        """Evaluate the sensor as the daemon does; returns what the UI shows of it."""
        with dg.build_sensor_context(
            self.instance, definitions=self.definitions, resources=self.definitions.resources
        ) as context:
            reason = self.sensor.evaluate_tick(context).skip_message
        assert reason is not None
        return reason

    def alerts(self) -> list[Any]:
        """The documents that the webhook received."""
        return [message for message in self.http.received if "kind" in message]

    def heard(self) -> list[str]:
        """Headlines by webhook; asserts that Slack and mail heard the same."""
        headlines = [f"ScaleCast: {alert['headline']}" for alert in self.alerts()]
        texts = [message["text"] for message in self.http.received if "text" in message]
        assert [text.split("*")[1] for text in texts] == headlines
        assert [mail["Subject"].strip() for mail in self.smtp.received] == headlines
        return [headline.removeprefix("ScaleCast: ") for headline in headlines]

    def put(self, key: str, *lines: str) -> None:
        self.store.put(key, csv_of(*lines))

    def open_kinds(self) -> list[str]:
        with psycopg.connect(self.url) as conn:
            return [alert.cause.kind for alert in book.open_alerts(conn)]

    def execute(self, sql: str, *values: Any) -> None:
        with psycopg.connect(self.url) as conn:
            conn.execute(sql.encode(), values)
