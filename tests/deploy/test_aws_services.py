"""What deploy/aws/services.yaml makes: who reaches what, which rights tasks have, what runs.

``scalecast`` is the stack of the documentation; ``scalecast-ui`` has the UI behind a sign-in.
"""

from typing import Any

import pytest

from tests.deploy.aws import SIGN_IN, Aws, Stack
from tests.deploy.policies import allows
from tests.deploy.test_aws_database import ingress

STACKS = ("scalecast", "scalecast-ui")
TASKS = {
    "RunTask": ["run"],
    "DagsterTask": ["code", "webserver", "daemon"],
    "SidecarTask": ["sidecar"],
}


@pytest.fixture(params=STACKS)
def stack(request: pytest.FixtureRequest, aws: Aws) -> Stack:
    return aws.stacks[request.param]


def task(aws: Aws, stack: Stack, name: str) -> dict[str, Any]:
    found = aws.client("ecs").describe_task_definition(taskDefinition=stack.ids[name])
    definition = found["taskDefinition"]
    assert isinstance(definition, dict)
    return definition


def service(aws: Aws, stack: Stack, name: str) -> dict[str, Any]:
    (found,) = aws.client("ecs").describe_services(
        cluster=stack.ids["Cluster"], services=[stack.ids[name]]
    )["services"]
    assert isinstance(found, dict)
    return found


def rules(aws: Aws, stack: Stack) -> list[dict[str, Any]]:
    """The rules of the one listener, in the order in which they are tried."""
    elb = aws.client("elbv2")
    (listener,) = elb.describe_listeners(LoadBalancerArn=stack.ids["Balancer"])["Listeners"]
    found = elb.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]
    return sorted(found, key=lambda rule: (rule["IsDefault"], rule["Priority"]))


# ── Who reaches what ────────────────────────────────────────────────────────────────────────────


def test_callers_reach_the_balancer_and_it_alone_the_sidecars(aws: Aws, stack: Stack) -> None:
    balancer, sidecars = stack.ids["BalancerGroup"], stack.ids["SidecarGroup"]
    assert ingress(aws, balancer) == [(443, 443, ["10.0.0.0/8"], [])]
    assert ingress(aws, sidecars) == [(8000, 8000, [], [balancer])]


def test_only_the_balancer_reaches_the_pipelines_tasks(aws: Aws, stack: Stack) -> None:
    (group,) = network(service(aws, stack, "Dagster"))["securityGroups"]
    assert ingress(aws, group) == [(3000, 3000, [], [stack.ids["BalancerGroup"]])]


def test_the_balancer_speaks_tls_only_and_is_inside(aws: Aws, stack: Stack) -> None:
    elb = aws.client("elbv2")
    arn = stack.ids["Balancer"]
    (balancer,) = elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"]
    assert balancer["Scheme"] == "internal"
    assert [zone["SubnetId"] for zone in balancer["AvailabilityZones"]] == aws.public
    attributes = elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    values = {one["Key"]: one["Value"] for one in attributes}
    assert values["deletion_protection.enabled"] == "true"
    assert values["routing.http.drop_invalid_header_fields.enabled"] == "true"
    (listener,) = elb.describe_listeners(LoadBalancerArn=arn)["Listeners"]
    assert (listener["Port"], listener["Protocol"]) == (443, "HTTPS")
    assert "TLS13" in listener["SslPolicy"]
    assert stack.outputs["Address"] == f"https://{balancer['DNSName']}"


def test_metrics_are_not_there_and_all_else_is_the_sidecars(aws: Aws, stack: Stack) -> None:
    first, *_, last = rules(aws, stack)
    (condition,) = first["Conditions"]
    assert condition["PathPatternConfig"]["Values"] == ["/metrics"]
    (action,) = first["Actions"]
    assert (action["Type"], action["FixedResponseConfig"]["StatusCode"]) == (
        "fixed-response",
        "404",
    )
    assert last["IsDefault"]
    (action,) = last["Actions"]
    assert (action["Type"], action["TargetGroupArn"]) == ("forward", stack.ids["ForecastTargets"])


def test_the_ui_is_reached_by_its_name_after_a_sign_in(aws: Aws) -> None:
    stack = aws.stacks["scalecast-ui"]
    _, rule, _ = rules(aws, stack)
    (condition,) = rule["Conditions"]
    assert condition["HostHeaderConfig"]["Values"] == [SIGN_IN["UiHost"]]
    signs_in, forwards = sorted(rule["Actions"], key=lambda action: action["Order"])
    assert signs_in["Type"] == "authenticate-oidc"
    asked = signs_in["AuthenticateOidcConfig"]
    assert (asked["Issuer"], asked["ClientId"]) == (SIGN_IN["OidcIssuer"], SIGN_IN["OidcClientId"])
    assert asked["ClientSecret"] == "told to nobody"  # of the secret that the parameter names
    assert asked.get("OnUnauthenticatedRequest", "authenticate") == "authenticate"
    assert (forwards["Type"], forwards["TargetGroupArn"]) == ("forward", stack.ids["UiTargets"])


def test_without_a_name_for_the_ui_nothing_leads_to_it(aws: Aws) -> None:
    stack, elb = aws.stacks["scalecast"], aws.client("elbv2")
    assert not {"UiTargets", "UiRule"} & set(stack.ids)
    assert len(rules(aws, stack)) == 2
    groups = elb.describe_target_groups(LoadBalancerArn=stack.ids["Balancer"])["TargetGroups"]
    assert [one["TargetGroupArn"] for one in groups] == [stack.ids["ForecastTargets"]]
    assert service(aws, stack, "Dagster")["loadBalancers"] == []


# ── What runs ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", TASKS)
def test_containers_write_to_their_volumes_only_and_their_words_are_kept(
    aws: Aws, stack: Stack, name: str
) -> None:
    found = task(aws, stack, name)
    assert found["networkMode"] == "awsvpc"
    assert found["requiresCompatibilities"] == ["FARGATE"]
    volumes = {one["name"] for one in found["volumes"]}
    assert [one["name"] for one in found["containerDefinitions"]] == TASKS[name]
    for container in found["containerDefinitions"]:
        assert container["readonlyRootFilesystem"]
        mounted = {one["containerPath"]: one["sourceVolume"] for one in container["mountPoints"]}
        assert set(mounted) == {"/var/lib/scalecast", "/tmp"}
        assert set(mounted.values()) == volumes
        logs = container["logConfiguration"]
        assert logs["options"]["awslogs-group"] == stack.ids["Logs"]
    groups = aws.client("logs").describe_log_groups(logGroupNamePrefix=stack.ids["Logs"])
    assert [group["retentionInDays"] for group in groups["logGroups"]] == [30]


@pytest.mark.parametrize("name", TASKS)
def test_the_one_secret_is_handed_over_by_ecs_and_the_sidecar_has_none(
    aws: Aws, stack: Stack, name: str
) -> None:
    secrets = aws.client("secretsmanager")
    values = {
        secrets.get_secret_value(SecretId=one["ARN"])["SecretString"]
        for one in secrets.list_secrets()["SecretList"]
    }
    found = task(aws, stack, name)
    for container in found["containerDefinitions"]:
        plain = [one["value"] for one in container["environment"]]
        assert not [value for value in plain if any(secret in value for secret in values)]
        handed = {one["name"]: one["valueFrom"] for one in container.get("secrets", [])}
        if name == "SidecarTask":
            assert handed == {}
            continue
        assert set(handed) == {"SCALECAST_DATABASE_URL"}
        rights = aws.rights[found["executionRoleArn"]]
        assert allows(rights, "secretsmanager:GetSecretValue", handed["SCALECAST_DATABASE_URL"])
        assert not allows(rights, "secretsmanager:GetSecretValue", "arn:aws:secretsmanager:other")


def test_each_task_has_the_role_of_what_it_does(aws: Aws) -> None:
    storage = aws.stacks["scalecast-storage"].outputs
    expected = {
        "RunTask": "PipelineRole",
        "DagsterTask": "PipelineRole",
        "SidecarTask": "SidecarRole",
    }
    for name, role in expected.items():
        found = task(aws, aws.stacks["scalecast"], name)
        assert found["taskRoleArn"] == storage[role]
        rights = aws.rights[found["executionRoleArn"]]
        # ECS itself: pulls images, writes logs, and is no way into the bucket.
        assert allows(rights, "ecr:BatchGetImage", "any")
        assert allows(rights, "logs:PutLogEvents", "any")
        assert not allows(rights, "s3:GetObject", "arn:aws:s3:::acme-scalecast/models/1")
    trusts = aws.client("iam").list_roles()["Roles"]
    for role in trusts:
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}


def network(found: dict[str, Any]) -> dict[str, Any]:
    given = found["networkConfiguration"]["awsvpcConfiguration"]
    assert isinstance(given, dict)
    return given


def test_services_are_in_private_subnets_without_addresses_of_their_own(
    aws: Aws, stack: Stack
) -> None:
    for name in ("Dagster", "Sidecar"):
        found = service(aws, stack, name)
        assert found["launchType"] == "FARGATE"
        assert network(found)["assignPublicIp"] == "DISABLED"
        assert network(found)["subnets"] == aws.private
        breaker = found["deploymentConfiguration"]["deploymentCircuitBreaker"]
        assert breaker == {"enable": True, "rollback": True}


def test_there_is_one_daemon_never_two(aws: Aws, stack: Stack) -> None:
    found = service(aws, stack, "Dagster")
    assert found["taskDefinition"] == stack.ids["DagsterTask"]
    assert found["desiredCount"] == 1
    deployment = found["deploymentConfiguration"]
    assert (deployment["minimumHealthyPercent"], deployment["maximumPercent"]) == (0, 100)


def test_ecs_waits_for_the_webserver_if_a_balancer_asks_it(aws: Aws) -> None:
    """And says nothing of it without one: ECS refuses a grace period then."""
    with_ui = service(aws, aws.stacks["scalecast-ui"], "Dagster")
    assert with_ui["healthCheckGracePeriodSeconds"] >= 300
    assert "healthCheckGracePeriodSeconds" not in service(aws, aws.stacks["scalecast"], "Dagster")


def test_sidecars_are_two_to_eight_and_never_fewer_while_they_are_replaced(
    aws: Aws, stack: Stack
) -> None:
    found = service(aws, stack, "Sidecar")
    assert found["desiredCount"] == 2
    assert found["deploymentConfiguration"]["minimumHealthyPercent"] == 100
    scaling = aws.client("application-autoscaling")
    name = f"service/{stack.ids['Cluster']}/{found['serviceName']}"
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="ecs", ResourceIds=[name])[
        "ScalableTargets"
    ]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 8)
    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="ecs", ResourceId=name)[
        "ScalingPolicies"
    ]
    followed = policy["TargetTrackingScalingPolicyConfiguration"]
    assert followed["PredefinedMetricSpecification"]["PredefinedMetricType"] == (
        "ECSServiceAverageCPUUtilization"
    )


def test_the_balancer_asks_what_a_sidecar_answers(aws: Aws, stack: Stack) -> None:
    (found,) = aws.client("elbv2").describe_target_groups(
        TargetGroupArns=[stack.ids["ForecastTargets"]]
    )["TargetGroups"]
    assert (found["TargetType"], found["Port"], found["HealthCheckPath"]) == ("ip", 8000, "/health")
    (container,) = task(aws, stack, "SidecarTask")["containerDefinitions"]
    assert [one["containerPort"] for one in container["portMappings"]] == [found["Port"]]
    (balanced,) = service(aws, stack, "Sidecar")["loadBalancers"]
    assert balanced["targetGroupArn"] == found["TargetGroupArn"]
    assert (balanced["containerName"], balanced["containerPort"]) == ("sidecar", 8000)
