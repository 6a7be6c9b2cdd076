"""The daemon's launcher on ECS: Dagster's own, as deploy/aws/dagster.yaml has it, at the ECS of a
moto, from a task that services.yaml describes and with that task's rights.

What moto enforces is which actions a role may ask for; that everything asked for is also allowed
for just that resource, and no other, is judged by ``policies.py`` from the calls that were made.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import boto3
import dagster as dg
import psycopg
import pytest
from botocore.exceptions import ClientError
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.launcher import WorkerStatus
from dagster_aws.ecs import EcsRunLauncher

from scalecast_assets.resources.embedded_postgres import PostgresServer
from scalecast_assets.resources.postgres_cluster import create_database
from scalecast_assets.runtime import running
from scalecast_assets.settings import Settings
from tests.deploy.aws import Aws
from tests.deploy.cloudformation import ACCOUNT, REGION
from tests.deploy.fargate import Fargate
from tests.deploy.policies import Statement, allows

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
        return described(self.aws, run.tags["ecs/cluster"], run.tags["ecs/task_arn"])


def described(aws: Aws, cluster: str, task: str) -> dict[str, Any]:
    found = aws.client("ecs").describe_tasks(cluster=cluster, tasks=[task], include=["TAGS"])
    (one,) = found["tasks"]
    assert isinstance(one, dict)
    return one


@pytest.fixture(scope="module")
def daemon(
    aws: Aws, postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    """The service's task is started as ECS would, and this process becomes its daemon."""
    create_database(postgres_server, "fargate")
    fargate = Fargate(aws, postgres_server.url("fargate"), tmp_path_factory.mktemp("fargate"))
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
    with ExitStack() as stack_of_contexts:
        enter = stack_of_contexts.enter_context
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
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute("drop database fargate with (force)")


@pytest.fixture(scope="module")
def run(daemon: Daemon) -> dg.DagsterRun:
    return daemon.launch("retention")


@pytest.fixture(scope="module")
def ended(daemon: Daemon) -> dg.DagsterRun:
    """A run that was launched and ended again, with what its container said last."""
    run = daemon.launch("retention")
    assert daemon.launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING
    assert daemon.launcher.terminate(run.run_id)
    say(daemon.aws, daemon.task(run), "Killed")
    return daemon.run(run.run_id)


def test_a_run_is_a_task_beside_the_daemons_with_the_definition_of_runs(
    daemon: Daemon, run: dg.DagsterRun
) -> None:
    task, stack = daemon.task(run), daemon.aws.stacks["scalecast"]
    assert task["lastStatus"] == "RUNNING"
    assert task["clusterArn"].endswith(f"/{stack.ids['Cluster']}")
    assert task["taskDefinitionArn"] == stack.ids["RunTask"]
    assert task["launchType"] == "FARGATE"
    (attached,) = task["attachments"]
    details = {one["name"]: one["value"] for one in attached["details"]}
    assert details["subnetId"] in daemon.aws.private
    (interface,) = daemon.aws.client("ec2").describe_network_interfaces(
        NetworkInterfaceIds=[details["networkInterfaceId"]]
    )["NetworkInterfaces"]
    group = daemon.aws.stacks["scalecast-database"].outputs["PipelineGroup"]
    assert [one["GroupId"] for one in interface["Groups"]] == [group]
    assert "Association" not in interface  # no public address


def test_it_is_told_which_run_it_is_and_no_secret(daemon: Daemon, run: dg.DagsterRun) -> None:
    task = daemon.task(run)
    tags = {one["key"]: one["value"] for one in task["tags"]}
    assert tags == {"dagster/run_id": run.run_id, "dagster/job_name": "retention"}
    (override,) = task["overrides"]["containerOverrides"]
    assert override["name"] == "run"
    assert override["command"][-3:-1] == ["api", "execute_run"]
    assert json.loads(override["command"][-1])["pipeline_run_id"] == run.run_id
    said = json.dumps(task["overrides"])
    assert len(said) < 8192  # more is refused by ECS
    assert daemon.environment["SCALECAST_DATABASE_URL"] not in said
    assert daemon.environment["AWS_SECRET_ACCESS_KEY"] not in said


def test_processor_and_memory_are_those_of_the_task_definition(
    daemon: Daemon, run: dg.DagsterRun
) -> None:
    task = daemon.task(run)
    assert not {"cpu", "memory"} & set(task["overrides"])
    found = daemon.aws.client("ecs").describe_task_definition(
        taskDefinition=task["taskDefinitionArn"]
    )["taskDefinition"]
    assert (found["cpu"], found["memory"]) == ("4096", "16384")


def test_the_container_does_the_run(daemon: Daemon, run: dg.DagsterRun) -> None:
    """Its entry point and the launcher's words, with the environment and rights of its task."""
    done = daemon.fargate.run(daemon.task(run), "run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert daemon.run(run.run_id).status == dg.DagsterRunStatus.SUCCESS
    kept = daemon.aws.client("s3").list_objects_v2(
        Bucket="acme-scalecast", Prefix=f"logs/dagster/storage/{run.run_id}/"
    )
    assert kept["KeyCount"] > 0  # what the step printed


def test_a_run_that_is_ended_is_ended_and_its_last_words_are_found(
    daemon: Daemon, ended: dg.DagsterRun
) -> None:
    assert daemon.task(ended)["lastStatus"] == "STOPPED"
    found = daemon.launcher.check_run_worker_health(ended)
    assert found.status == WorkerStatus.FAILED
    assert "Killed" in str(found.msg)


# ── With which rights ───────────────────────────────────────────────────────────────────────────


def test_each_call_is_one_that_the_role_may_make_and_each_right_is_used(
    daemon: Daemon, run: dg.DagsterRun, ended: dg.DagsterRun
) -> None:
    daemon.launcher.check_run_worker_health(ended)
    needed = [need for call in daemon.calls for need in needs(daemon.aws, call)]
    for action, resource, context in needed:
        assert allows(daemon.rights, action, resource, **context), (action, resource, context)
    granted = {
        action
        for one in daemon.rights
        for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
    }
    of_the_bucket = {action for action in granted if action.startswith("s3:")}
    assert {action for action, _, _ in needed} == granted - of_the_bucket


def test_the_rights_end_at_this_cluster_and_this_task_definition(daemon: Daemon) -> None:
    ours, theirs = daemon.aws.stacks["scalecast"], daemon.aws.stacks["scalecast-ui"]
    rights = daemon.rights
    here, elsewhere = (f"{ECS}:cluster/{one.ids['Cluster']}" for one in (ours, theirs))
    for definition, cluster, may in (
        (ours.ids["RunTask"], here, True),
        (ours.ids["RunTask"].removesuffix("1") + "2", here, True),  # after an update
        (ours.ids["RunTask"], elsewhere, False),
        (ours.ids["DagsterTask"], here, False),
        (theirs.ids["RunTask"], here, False),
    ):
        assert allows(rights, "ecs:RunTask", definition, ecs__cluster=cluster) == may
    for action in ("ecs:StopTask", "ecs:DescribeTasks", "ecs:TagResource"):
        assert allows(rights, action, f"{ECS}:task/{ours.ids['Cluster']}/1")
        assert not allows(rights, action, f"{ECS}:task/{theirs.ids['Cluster']}/1")
    group = f"{LOGS}:log-group:"
    assert allows(rights, "logs:GetLogEvents", f"{group}{ours.ids['Logs']}:log-stream:run/run/1")
    assert not allows(rights, "logs:GetLogEvents", f"{group}{theirs.ids['Logs']}:log-stream:1")


def test_tasks_are_given_their_own_roles_and_nobody_elses(daemon: Daemon) -> None:
    aws, rights = daemon.aws, daemon.rights
    found = aws.client("ecs").describe_task_definition(
        taskDefinition=aws.stacks["scalecast"].ids["RunTask"]
    )["taskDefinition"]
    own = {found["taskRoleArn"], found["executionRoleArn"]}
    assert len(own) == 2
    assert own < set(aws.rights)
    for role in aws.rights:
        given = allows(rights, "iam:PassRole", role, iam__PassedToService=TASKS)
        assert given == (role in own), role
        assert not allows(rights, "iam:PassRole", role, iam__PassedToService="ec2.amazonaws.com")


def test_aws_refuses_both_roles_what_is_not_theirs(daemon: Daemon) -> None:
    """Refused by moto, which tells actions apart."""
    aws, outputs = daemon.aws, daemon.aws.stacks["scalecast-storage"].outputs
    stack = aws.stacks["scalecast"]
    pipeline, sidecar = aws.keys[outputs["PipelineRole"]], aws.keys[outputs["SidecarRole"]]
    cluster, definition = stack.ids["Cluster"], stack.ids["RunTask"]
    container: Any = [{"name": "run", "image": "worse"}]
    secret = aws.stacks["scalecast-database"].outputs["DatabaseUrl"]
    everything = "arn:aws:iam::aws:policy/AdministratorAccess"
    assert not refused(aws, pipeline, "ecs", "describe_task_definition", taskDefinition=definition)
    for account in (pipeline, sidecar):
        for service, operation, arguments in (
            ("ecs", "register_task_definition", {"family": "x", "containerDefinitions": container}),
            ("ecs", "update_service", {"cluster": cluster, "service": stack.ids["Sidecar"]}),
            ("ecs", "delete_cluster", {"cluster": cluster}),
            ("secretsmanager", "get_secret_value", {"SecretId": secret}),
            ("iam", "attach_role_policy", {"RoleName": "x", "PolicyArn": everything}),
            ("rds", "describe_db_instances", {}),
        ):
            assert refused(aws, account, service, operation, **arguments), operation
    for operation, arguments in (
        ("run_task", {"cluster": cluster, "taskDefinition": definition}),
        ("describe_tasks", {"cluster": cluster, "tasks": ["x"]}),
        ("describe_task_definition", {"taskDefinition": definition}),
    ):
        assert refused(aws, sidecar, "ecs", operation, **arguments), operation


def refused(
    aws: Aws, account: dict[str, str], api: str, operation: str, /, **arguments: Any
) -> bool:
    try:
        getattr(aws.client(api, account), operation)(**arguments)
    except ClientError as error:
        return "AccessDenied" in str(error)
    return False


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


def say(aws: Aws, task: dict[str, Any], words: str) -> None:
    """Write to the log as ECS does for the container, with the rights that ECS has."""
    described = aws.client("ecs").describe_task_definition(taskDefinition=task["taskDefinitionArn"])
    options = aws.container(task["taskDefinitionArn"], "run")["logConfiguration"]["options"]
    logs = aws.client("logs", aws.keys[described["taskDefinition"]["executionRoleArn"]])
    name = f"{options['awslogs-stream-prefix']}/run/{task['taskArn'].rpartition('/')[2]}"
    stream = {"logGroupName": options["awslogs-group"], "logStreamName": name}
    logs.create_log_stream(**stream)
    event = {"timestamp": int(time.time() * 1000), "message": words}
    logs.put_log_events(**stream, logEvents=[event])
