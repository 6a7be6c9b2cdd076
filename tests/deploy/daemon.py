"""The daemon on ECS: this process with the environment and rights of its container, an instance as
its configuration makes it, and every call that its launcher makes.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import boto3
import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster_aws.ecs import EcsRunLauncher

from scalecast_assets.runtime import running
from scalecast_assets.settings import Settings
from tests.deploy.aws import Aws
from tests.deploy.cloudformation import ACCOUNT, REGION
from tests.deploy.fargate import Fargate
from tests.deploy.policies import Statement

ECS = f"arn:aws:ecs:{REGION}:{ACCOUNT}"
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT}"
TASKS = "ecs-tasks.amazonaws.com"


@dataclass(frozen=True)
class Call:
    """A request to AWS."""

    operation: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Daemon:
    """What lives in the container ``daemon``: an instance, and what its launcher asks of AWS."""

    aws: Aws
    fargate: Fargate
    instance: dg.DagsterInstance
    environment: dict[str, str]
    calls: list[Call]

    @property
    def launcher(self) -> EcsRunLauncher[Any]:
        launcher = self.instance.run_launcher
        assert isinstance(launcher, EcsRunLauncher)
        return launcher

    @property
    def rights(self) -> list[Statement]:
        return self.aws.rights[self.aws.stacks["scalecast-storage"].outputs["PipelineRole"]]

    def launch(self, job: str) -> dg.DagsterRun:
        """Create a run as the code server would describe it, and launch it."""
        repository = ReconstructableRepository.for_module("scalecast_assets.definitions", "defs")
        found = repository.get_reconstructable_job(job)
        run = self.instance.create_run_for_job(
            found.get_definition(), job_code_origin=found.get_python_origin()
        )
        self.instance.launch_run(run.run_id, workspace=None)  # type: ignore[arg-type]
        return self.run(run.run_id)

    def run(self, run_id: str) -> dg.DagsterRun:
        found = self.instance.get_run_by_id(run_id)
        assert found is not None
        return found

    def task(self, run: dg.DagsterRun) -> dict[str, Any]:
        """The task of a run as ECS has it."""
        (found,) = self.aws.client("ecs").describe_tasks(
            cluster=run.tags["ecs/cluster"], tasks=[run.tags["ecs/task_arn"]], include=["TAGS"]
        )["tasks"]
        assert isinstance(found, dict)
        return found


@contextmanager
def on_fargate(fargate: Fargate) -> Iterator[Daemon]:
    """The service's task is started as ECS would, and this process becomes its daemon."""
    aws = fargate.aws
    stack = aws.stacks["scalecast"]
    ecs = aws.client("ecs")
    (service,) = ecs.describe_services(
        cluster=stack.ids["Cluster"], services=[stack.ids["Dagster"]]
    )["services"]
    (task,) = ecs.run_task(
        cluster=service["clusterArn"],
        taskDefinition=service["taskDefinition"],
        networkConfiguration=service["networkConfiguration"],
        launchType=service["launchType"],
    )["tasks"]
    calls: list[Call] = []
    with ExitStack() as contexts:
        enter = contexts.enter_context
        environment = fargate.environment(task, "daemon")
        environment["ECS_CONTAINER_METADATA_URI_V4"] = enter(fargate.metadata(task))
        enter(patch.dict(os.environ, environment, clear=True))
        session = boto3.Session()
        session.events.register(
            "provide-client-params.*.*",
            lambda params, model, **_: calls.append(Call(model.name, params)),
        )
        enter(patch.object(boto3, "DEFAULT_SESSION", session))
        enter(running(Settings.load()))
        instance = enter(dg.DagsterInstance.get())
        yield Daemon(aws, fargate, instance, environment, calls)


def needs(aws: Aws, call: Call) -> list[tuple[str, str, dict[str, str]]]:
    """What AWS asks of the caller's policies: actions, their resources, and the context's keys."""
    given = call.parameters
    match call.operation:
        case "RunTask":
            found = aws.client("ecs").describe_task_definition(
                taskDefinition=given["taskDefinition"]
            )["taskDefinition"]
            task = f"{ECS}:task/{given['cluster'].rpartition('/')[2]}/of-the-future"
            passed = {"iam__PassedToService": TASKS}
            return [
                ("ecs:RunTask", given["taskDefinition"], {"ecs__cluster": given["cluster"]}),
                *([("ecs:TagResource", task, {})] if given.get("tags") else []),
                ("iam:PassRole", found["taskRoleArn"], passed),
                ("iam:PassRole", found["executionRoleArn"], passed),
            ]
        case "DescribeTasks":
            return [("ecs:DescribeTasks", task, {}) for task in given["tasks"]]
        case "StopTask":
            return [("ecs:StopTask", given["task"], {})]
        case "GetLogEvents":
            stream = f"log-group:{given['logGroupName']}:log-stream:{given['logStreamName']}"
            return [("logs:GetLogEvents", f"{LOGS}:{stream}", {})]
        case "DescribeTaskDefinition":
            return [("ecs:DescribeTaskDefinition", "*", {})]
        case "DescribeNetworkInterfaces":
            return [("ec2:DescribeNetworkInterfaces", "*", {})]
    raise AssertionError(f"{call.operation}: which right is that?")
