"""Dagster's own configuration on ECS and on Kubernetes: Dagster takes what is said there."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml  # type: ignore[import-untyped]
from dagster._config import process_config, resolve_to_config_type
from dagster._core.instance.config import dagster_instance_config_schema
from dagster_aws.ecs import EcsRunLauncher
from dagster_aws.s3 import S3ComputeLogManager
from dagster_k8s import K8sRunLauncher

from scalecast_assets.resources.turns import QueueInTurn
from scalecast_assets.runtime import instance_config
from scalecast_assets.settings import Settings, SettingsError
from tests.graph.command import ROOT

HELM: dict[str, Any] = yaml.safe_load(
    (ROOT / "deploy" / "kubernetes" / "dagster-values.yaml").read_text()
)
TOP = {
    "additionalInstanceConfig", "busybox", "computeLogManager", "concurrency",
    "dagster-user-deployments", "dagsterDaemon", "dagsterWebserver", "extraManifests", "flower",
    "generateCeleryConfigSecret", "generatePostgresqlPasswordSecret", "global", "imagePullSecrets",
    "ingress", "migrate", "postgresql", "pythonLogs", "rabbitmq", "rbacEnabled", "redis",
    "retention", "runLauncher", "scheduler", "serviceAccount", "telemetry",
}  # fmt: skip
"""The sections that Dagster's chart knows (its values.schema.json, 1.13)."""

POD = {
    "affinity", "annotations", "env", "envConfigMaps", "envSecrets", "image", "labels",
    "livenessProbe", "nodeSelector", "podSecurityContext", "readinessProbe", "resources",
    "schedulerName", "securityContext", "startupProbe", "tolerations", "volumeMounts", "volumes",
}  # fmt: skip
"""What it lets be said of each of its deployments; any other key is an error to Helm."""

LAUNCHER = {
    "envConfigMaps": "env_config_maps",
    "envSecrets": "env_secrets",
    "imagePullPolicy": "image_pull_policy",
    "loadInclusterConfig": "load_incluster_config",
    "resources": "resources",
    "securityContext": "security_context",
    "volumeMounts": "volume_mounts",
    "volumes": "volumes",
}


VARIABLES = {
    "SCALECAST_DAGSTER_DATABASE_URL": "postgresql+psycopg2://scalecast:x@db/scalecast",
    "DAGSTER_RUN_TASK_DEFINITION": "acme-run",
    "DAGSTER_LOGS_BUCKET": "acme",
    "AWS_REGION": "eu-central-1",
}
"""Of a container: what the configurations read from them, Dagster reads when it takes them."""


def taken(schema: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as Dagster has it then; fails with its own words if it refuses it."""
    with patch.dict(os.environ, VARIABLES):
        found = process_config(resolve_to_config_type(schema), dict(config))
    assert found.success, [error.message for error in found.errors or []]
    return dict(found.value or {})


def taken_as_instance(config: Mapping[str, Any]) -> None:
    taken(dagster_instance_config_schema(), config)


def test_an_ecs_task_gets_a_launcher_that_dagster_takes(tmp_path: Path) -> None:
    added = ROOT / "deploy" / "aws" / "dagster.yaml"
    settings = Settings(home=tmp_path, store_url="s3://acme", dagster_config=added)
    config = yaml.safe_load(instance_config(settings))
    taken_as_instance(config)
    assert config["run_coordinator"]["class"] == "QueueInTurn"  # what nobody added to is as it was
    assert config["compute_logs"]["config"]["bucket"] == "acme"
    assert config["run_monitoring"]["start_timeout_seconds"] == 600
    launcher = config["run_launcher"]
    assert (launcher["module"], launcher["class"]) == ("dagster_aws.ecs", "EcsRunLauncher")
    taken(EcsRunLauncher.config_type(), launcher["config"])  # type: ignore[no-untyped-call]


def test_without_a_file_of_ones_own_the_configuration_is_the_checkouts(tmp_path: Path) -> None:
    text = instance_config(Settings(home=tmp_path))
    assert text == (ROOT / "dagster.yaml").read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "No such file"), ("a: [", "expected"), ("- run_launcher", "must hold sections")],
)
def test_a_file_that_cannot_be_added_is_named(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "more.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError, match=f"SCALECAST_DAGSTER_CONFIG: (?s:.*){said}"):
        instance_config(Settings(home=tmp_path, dagster_config=file))


def test_the_charts_values_have_only_names_that_the_chart_knows() -> None:
    assert set(HELM) <= TOP
    assert set(HELM["dagsterWebserver"]) <= POD | {"replicaCount", "enableReadOnly", "service"}
    assert set(HELM["dagsterDaemon"]) <= POD | {
        "enabled", "runCoordinator", "runMonitoring", "runRetries", "schedules", "sensors",
    }  # fmt: skip
    (code,) = HELM["dagster-user-deployments"]["deployments"]
    assert set(code) <= POD | {"name", "dagsterApiGrpcArgs", "port", "includeConfigInLaunchedRuns"}
    launcher = HELM["runLauncher"]["config"]["k8sRunLauncher"]
    assert set(launcher) <= {*LAUNCHER, "runK8sConfig"}
    assert set(HELM["retention"]["sensor"]["purgeAfterDays"]) == {
        "skipped", "success", "failure", "started",
    }  # fmt: skip
    assert not HELM["generatePostgresqlPasswordSecret"]
    assert "postgresqlPassword" not in HELM["postgresql"]


def test_every_pod_of_the_chart_is_confined_and_has_limits() -> None:
    (code,) = HELM["dagster-user-deployments"]["deployments"]
    launcher = HELM["runLauncher"]["config"]["k8sRunLauncher"]
    for pod in (HELM["dagsterWebserver"], HELM["dagsterDaemon"], code, launcher):
        assert pod["securityContext"]["readOnlyRootFilesystem"]
        assert pod["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert pod["resources"]["limits"]["memory"]
        assert {one["name"] for one in pod["envSecrets"]} == {"scalecast"}
    for pod in (HELM["dagsterWebserver"], HELM["dagsterDaemon"], code):
        assert pod["podSecurityContext"]["runAsNonRoot"]


def test_dagster_takes_the_instance_that_the_chart_makes_of_the_values() -> None:
    """The chart's templates in a few lines: which value becomes which section."""
    launcher = HELM["runLauncher"]["config"]["k8sRunLauncher"]
    launching = {theirs: launcher[ours] for ours, theirs in LAUNCHER.items()}
    for name in ("env_config_maps", "env_secrets"):
        launching[name] = [one["name"] for one in launching[name]]
    launching |= {
        "job_namespace": "default",
        "service_account_name": HELM["global"]["serviceAccountName"],
        "dagster_home": HELM["global"]["dagsterHome"],
        "instance_config_map": "dagster-instance",
        "postgres_password_secret": HELM["global"]["postgresqlSecretName"],
        "run_k8s_config": {
            "pod_spec_config": launcher["runK8sConfig"]["podSpecConfig"],
            "job_spec_config": launcher["runK8sConfig"]["jobSpecConfig"],
        },
    }
    taken(K8sRunLauncher.config_type(), launching)  # type: ignore[no-untyped-call]
    logs = HELM["computeLogManager"]["config"]["s3ComputeLogManager"]
    snake = {re.sub("([A-Z])", r"_\1", name).lower(): value for name, value in logs.items()}
    taken(S3ComputeLogManager.config_type(), snake)  # type: ignore[no-untyped-call]
    coordinator = HELM["dagsterDaemon"]["runCoordinator"]["config"]["customRunCoordinator"]
    assert (coordinator["module"], coordinator["class"]) == (
        QueueInTurn.__module__,
        QueueInTurn.__name__,
    )
    taken(QueueInTurn.config_type(), coordinator["config"])
    monitoring = HELM["dagsterDaemon"]["runMonitoring"]
    instance = {
        "run_coordinator": coordinator,
        "run_launcher": {"module": "dagster_k8s", "class": "K8sRunLauncher", "config": launching},
        "compute_logs": {
            "module": "dagster_aws.s3.compute_log_manager",
            "class": "S3ComputeLogManager",
            "config": snake,
        },
        "run_monitoring": {
            re.sub("([A-Z])", r"_\1", name).lower(): value for name, value in monitoring.items()
        },
        "telemetry": HELM["telemetry"],
        "retention": {
            kind: {"purge_after_days": HELM["retention"][kind]["purgeAfterDays"]}
            for kind in ("sensor", "schedule")
        },
    }
    more = HELM["additionalInstanceConfig"]
    assert not set(instance) & set(more), "the chart writes such a section itself"
    taken_as_instance(instance | more)


def test_kubernetes_has_the_same_queue_and_retries_as_everywhere() -> None:
    ours = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    more = HELM["additionalInstanceConfig"]
    assert more["run_retries"] == ours["run_retries"]
    assert more["concurrency"] == ours["concurrency"]
