"""How each type of resource in deploy/aws is made of its properties, by the services' own calls.

What moto's CloudFormation would have made of them (5.2.5, tried): it knows no secret, bucket policy
or scaling, and stops at a database whose groups are references. It leaves out a bucket's versions,
lifecycle and closed doors, the managed policies of a role, the settings of a cluster, the roles,
size and storage of a task definition, all of a service but its task and count, and the attributes
of balancers and target groups. What its services forget or do otherwise is said where it is mended,
and all of it is of ECS.
"""

import json
from typing import Any

from moto.ecs.models import Container, EC2ContainerServiceBackend, ecs_backends
from moto.moto_api import state_manager

from tests.deploy.cloudformation import ACCOUNT, REGION, Made, client, makes

Properties = dict[str, Any]


def lowered(node: Any) -> Any:
    """Names as the API of ECS has them, which begin with a small letter."""
    if isinstance(node, list):
        return [lowered(one) for one in node]
    if isinstance(node, dict):
        return {key[0].lower() + key[1:]: lowered(value) for key, value in node.items()}
    return node


# ── Storage ─────────────────────────────────────────────────────────────────────────────────────


@makes("AWS::S3::Bucket")
def bucket(_: str, given: Properties) -> Made:
    s3, name = client("s3"), given["BucketName"]
    s3.create_bucket(
        Bucket=name, ObjectOwnership=given["OwnershipControls"]["Rules"][0]["ObjectOwnership"]
    )
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=given["VersioningConfiguration"])
    s3.put_bucket_encryption(
        Bucket=name,
        ServerSideEncryptionConfiguration={
            "Rules": [
                {"ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"]}
                for rule in given["BucketEncryption"]["ServerSideEncryptionConfiguration"]
            ]
        },
    )
    s3.put_public_access_block(
        Bucket=name, PublicAccessBlockConfiguration=given["PublicAccessBlockConfiguration"]
    )
    rules = [lifecycle_rule(rule) for rule in given["LifecycleConfiguration"]["Rules"]]
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
    return Made(name)


def lifecycle_rule(given: Properties) -> dict[str, Any]:
    """A lifecycle rule as S3 has it, whose names CloudFormation changes."""
    rule: dict[str, Any] = {
        "ID": given["Id"],
        "Status": given["Status"],
        "Filter": {"Prefix": given.get("Prefix", "")},
    }
    if "ExpirationInDays" in given:
        rule["Expiration"] = {"Days": given["ExpirationInDays"]}
    if "ExpiredObjectDeleteMarker" in given:
        rule["Expiration"] = {"ExpiredObjectDeleteMarker": given["ExpiredObjectDeleteMarker"]}
    if "Transitions" in given:
        rule["Transitions"] = [
            {"StorageClass": one["StorageClass"], "Days": one["TransitionInDays"]}
            for one in given["Transitions"]
        ]
    for name in ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"):
        if name in given:
            rule[name] = given[name]
    return rule


@makes("AWS::S3::BucketPolicy")
def bucket_policy(_: str, given: Properties) -> Made:
    client("s3").put_bucket_policy(
        Bucket=given["Bucket"], Policy=json.dumps(given["PolicyDocument"])
    )
    return Made(given["Bucket"])


# ── Who may do what ─────────────────────────────────────────────────────────────────────────────


@makes("AWS::IAM::ManagedPolicy")
def managed_policy(name: str, given: Properties) -> Made:
    document = json.dumps(given.pop("PolicyDocument"))
    made = client("iam").create_policy(PolicyName=name, PolicyDocument=document, **given)
    return Made(made["Policy"]["Arn"])


@makes("AWS::IAM::Role")
def role(name: str, given: Properties) -> Made:
    iam = client("iam")
    trust = json.dumps(given["AssumeRolePolicyDocument"])
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]
    for arn in given.get("ManagedPolicyArns", []):
        iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    for policy in given.get("Policies", []):
        inline_policy("", policy | {"Roles": [name]})
    return Made(name, {"Arn": made["Arn"]})


@makes("AWS::IAM::Policy")
def inline_policy(_: str, given: Properties) -> Made:
    for name in given["Roles"]:
        client("iam").put_role_policy(
            RoleName=name,
            PolicyName=given["PolicyName"],
            PolicyDocument=json.dumps(given["PolicyDocument"]),
        )
    return Made(given["PolicyName"])


# ── Who may reach whom ──────────────────────────────────────────────────────────────────────────


@makes("AWS::EC2::SecurityGroup")
def security_group(name: str, given: Properties) -> Made:
    made = client("ec2").create_security_group(
        GroupName=name, Description=given["GroupDescription"], VpcId=given["VpcId"]
    )
    for rule in given.get("SecurityGroupIngress", []):
        ingress("", rule | {"GroupId": made["GroupId"]})
    return Made(made["GroupId"])


@makes("AWS::EC2::SecurityGroupIngress")
def ingress(name: str, given: Properties) -> Made:
    rule: dict[str, Any] = {key: given[key] for key in ("IpProtocol", "FromPort", "ToPort")}
    if "CidrIp" in given:
        rule["IpRanges"] = [{"CidrIp": given["CidrIp"]}]
    else:
        rule["UserIdGroupPairs"] = [{"GroupId": given["SourceSecurityGroupId"]}]
    client("ec2").authorize_security_group_ingress(GroupId=given["GroupId"], IpPermissions=[rule])
    return Made(name)


# ── Database ────────────────────────────────────────────────────────────────────────────────────


@makes("AWS::SecretsManager::Secret")
def secret(name: str, given: Properties) -> Made:
    secrets = client("secretsmanager")
    if "GenerateSecretString" in given:
        made = secrets.get_random_password(**given.pop("GenerateSecretString"))
        given["SecretString"] = made["RandomPassword"]
    return Made(secrets.create_secret(Name=name, **given)["ARN"])


@makes("AWS::RDS::DBSubnetGroup")
def subnet_group(name: str, given: Properties) -> Made:
    client("rds").create_db_subnet_group(DBSubnetGroupName=name, **given)
    return Made(name.lower())


@makes("AWS::RDS::DBParameterGroup")
def parameter_group(name: str, given: Properties) -> Made:
    rds, name = client("rds"), name.lower()
    rds.create_db_parameter_group(
        DBParameterGroupName=name,
        DBParameterGroupFamily=given["Family"],
        Description=given["Description"],
    )
    parameters = [
        {"ParameterName": key, "ParameterValue": value, "ApplyMethod": "pending-reboot"}
        for key, value in given["Parameters"].items()
    ]
    rds.modify_db_parameter_group(DBParameterGroupName=name, Parameters=parameters)
    return Made(name)


@makes("AWS::RDS::DBInstance")
def database(name: str, given: Properties) -> Made:
    given["VpcSecurityGroupIds"] = given.pop("VPCSecurityGroups")
    made = client("rds").create_db_instance(DBInstanceIdentifier=name.lower(), **given)
    made = made["DBInstance"]
    # Moto looks for what stands before the second dot of Database.Endpoint.Address.
    return Made(made["DBInstanceIdentifier"], {"Endpoint": made["Endpoint"]["Address"]})


# ── What runs ───────────────────────────────────────────────────────────────────────────────────


@makes("AWS::Logs::LogGroup")
def log_group(name: str, given: Properties) -> Made:
    logs = client("logs")
    logs.create_log_group(logGroupName=name)
    logs.put_retention_policy(logGroupName=name, retentionInDays=given["RetentionInDays"])
    (made,) = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return Made(name, {"Arn": made["arn"]})


@makes("AWS::ECS::Cluster")
def cluster(name: str, given: Properties) -> Made:
    made = client("ecs").create_cluster(
        clusterName=name, settings=lowered(given["ClusterSettings"])
    )
    return Made(name, {"Arn": made["cluster"]["clusterArn"]})


# Moto adds up what containers ask of an instance, and trips over one that leaves it to its task.
_backend: Any = EC2ContainerServiceBackend
_backend._calculate_task_resource_requirements = staticmethod(lambda definition: {})
# A task runs until it is stopped, however often somebody looks; its containers end by that.
state_manager.set_transition("ecs::task", {"progression": "manual", "times": 1_000_000})
_container: Any = Container
_container.exitCode = property(lambda self: 143, lambda self, code: None)


@makes("AWS::ECS::TaskDefinition")
def task_definition(_: str, given: Properties) -> Made:
    made = client("ecs").register_task_definition(**lowered(given))
    return Made(made["taskDefinition"]["taskDefinitionArn"])


@makes("AWS::ECS::Service")
def service(name: str, given: Properties) -> Made:
    asked = lowered(given)
    for one in asked.get("loadBalancers", []):
        (group,) = client("elbv2").describe_target_groups(TargetGroupArns=[one["targetGroupArn"]])[
            "TargetGroups"
        ]
        # As ECS says it; moto takes the service.
        assert group["LoadBalancerArns"], "The target group has no associated load balancer"
    made = client("ecs").create_service(serviceName=name, **asked)["service"]
    # Moto forgets these two; what it has beside its other attributes, it describes.
    kept: Any = ecs_backends[ACCOUNT][REGION].services[f"{asked['cluster']}:{name}"]
    kept.deployment_configuration = asked["deploymentConfiguration"]
    kept.health_check_grace_period_seconds = asked.get("healthCheckGracePeriodSeconds")
    return Made(made["serviceArn"], {"Name": name})


@makes("AWS::ApplicationAutoScaling::ScalableTarget")
def scalable_target(_: str, given: Properties) -> Made:
    client("application-autoscaling").register_scalable_target(**given)
    return Made("|".join(given[f] for f in ("ResourceId", "ScalableDimension", "ServiceNamespace")))


@makes("AWS::ApplicationAutoScaling::ScalingPolicy")
def scaling_policy(_: str, given: Properties) -> Made:
    parts = given.pop("ScalingTargetId").split("|")
    target = dict(zip(("ResourceId", "ScalableDimension", "ServiceNamespace"), parts, strict=True))
    made = client("application-autoscaling").put_scaling_policy(**given, **target)
    return Made(made["PolicyARN"])


# ── The way in ──────────────────────────────────────────────────────────────────────────────────


@makes("AWS::ElasticLoadBalancingV2::LoadBalancer")
def balancer(name: str, given: Properties) -> Made:
    elb = client("elbv2")
    attributes = given.pop("LoadBalancerAttributes")
    (made,) = elb.create_load_balancer(Name=name, **given)["LoadBalancers"]
    elb.modify_load_balancer_attributes(
        LoadBalancerArn=made["LoadBalancerArn"], Attributes=attributes
    )
    return Made(made["LoadBalancerArn"], {"DNSName": made["DNSName"]})


@makes("AWS::ElasticLoadBalancingV2::TargetGroup")
def target_group(name: str, given: Properties) -> Made:
    elb = client("elbv2")
    attributes = given.pop("TargetGroupAttributes", [])
    (made,) = elb.create_target_group(Name=name, **given)["TargetGroups"]
    if attributes:
        elb.modify_target_group_attributes(
            TargetGroupArn=made["TargetGroupArn"], Attributes=attributes
        )
    return Made(made["TargetGroupArn"])


@makes("AWS::ElasticLoadBalancingV2::Listener")
def listener(_: str, given: Properties) -> Made:
    (made,) = client("elbv2").create_listener(**given)["Listeners"]
    return Made(made["ListenerArn"])


@makes("AWS::ElasticLoadBalancingV2::ListenerRule")
def listener_rule(_: str, given: Properties) -> Made:
    (made,) = client("elbv2").create_rule(**given)["Rules"]
    return Made(made["RuleArn"])
