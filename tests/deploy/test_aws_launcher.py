"""The daemon's launcher on ECS: Dagster's own, as deploy/aws/dagster.yaml has it, at the ECS of a
moto, from a task that services.yaml describes and with that task's rights.

What moto enforces is which actions a role may ask for; that everything asked for is also allowed
for just that resource, and no other, is judged by ``policies.py`` from the calls that were made.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
import psycopg
import pytest
from botocore.exceptions import ClientError
from dagster._core.launcher import WorkerStatus

from scalecast_assets.resources.embedded_postgres import PostgresServer
from scalecast_assets.resources.postgres_cluster import create_database
from tests.deploy.aws import Aws
from tests.deploy.daemon import ECS, LOGS, TASKS, Daemon, needs, on_fargate
from tests.deploy.fargate import Fargate
from tests.deploy.policies import allows


@pytest.fixture(scope="module")
def daemon(
    aws: Aws, postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    create_database(postgres_server, "fargate")
    folder = tmp_path_factory.mktemp("fargate")
    with on_fargate(Fargate(aws, postgres_server.url("fargate"), folder)) as running:
        yield running
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
