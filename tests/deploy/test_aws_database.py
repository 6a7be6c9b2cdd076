"""What deploy/aws/database.yaml makes: a Postgres that only the pipeline reaches."""

from typing import Any
from urllib.parse import urlsplit

from scalecast_assets.resources.postgres_address import PostgresAddress
from tests.deploy.aws import Aws, Stack

STACK = "scalecast-database"


def described(aws: Aws, stack: Stack) -> dict[str, Any]:
    name = stack.ids["Database"]
    (found,) = aws.client("rds").describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
    assert isinstance(found, dict)
    return found


def ingress(aws: Aws, group: str) -> list[tuple[int, int, list[str], list[str]]]:
    """From which port to which, address ranges, and groups that are let in."""
    (found,) = aws.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
    return [
        (
            one["FromPort"],
            one["ToPort"],
            [address["CidrIp"] for address in one["IpRanges"] + one.get("Ipv6Ranges", [])],
            [pair["GroupId"] for pair in one["UserIdGroupPairs"]],
        )
        for one in found["IpPermissions"]
    ]


def test_the_database_is_encrypted_doubled_and_kept(aws: Aws) -> None:
    database = described(aws, aws.stacks[STACK])
    assert (database["Engine"], database["EngineVersion"].split(".")[0]) == ("postgres", "15")
    assert database["StorageEncrypted"]
    assert database["MultiAZ"]
    assert database["DeletionProtection"]
    assert database["BackupRetentionPeriod"] == 14


def test_it_is_in_the_private_subnets_and_only_the_pipeline_reaches_it(aws: Aws) -> None:
    stack = aws.stacks[STACK]
    database = described(aws, stack)
    assert not database["PubliclyAccessible"]
    subnets = database["DBSubnetGroup"]["Subnets"]
    assert [one["SubnetIdentifier"] for one in subnets] == aws.private
    (group,) = [one["VpcSecurityGroupId"] for one in database["VpcSecurityGroups"]]
    assert group == stack.ids["DatabaseGroup"]
    assert ingress(aws, group) == [(5432, 5432, [], [stack.outputs["PipelineGroup"]])]


def test_it_takes_only_encrypted_connections_and_many_locks(aws: Aws) -> None:
    (group,) = described(aws, aws.stacks[STACK])["DBParameterGroups"]
    found = aws.client("rds").describe_db_parameters(
        DBParameterGroupName=group["DBParameterGroupName"]
    )
    values = {one["ParameterName"]: one.get("ParameterValue") for one in found["Parameters"]}
    assert values["rds.force_ssl"] == "1"
    assert values["max_locks_per_transaction"] == "512"


def test_the_url_in_the_secret_is_one_that_scalecast_takes(aws: Aws) -> None:
    stack, secrets = aws.stacks[STACK], aws.client("secretsmanager")
    kept = {
        name: secrets.get_secret_value(SecretId=stack.ids[name])["SecretString"]
        for name in ("DatabaseUrl", "DatabasePassword")
    }
    database, url = described(aws, stack), urlsplit(kept["DatabaseUrl"])
    assert url.hostname == database["Endpoint"]["Address"]
    assert (url.username, url.path[1:]) == (database["MasterUsername"], database["DBName"])
    assert url.password == kept["DatabasePassword"]
    assert len(kept["DatabasePassword"]) == 40
    address = PostgresAddress.parse(kept["DatabaseUrl"])
    assert address.port == database["Endpoint"]["Port"]
    assert address.options["sslmode"] == "require"


def test_two_installations_have_two_passwords(aws: Aws) -> None:
    secrets = aws.client("secretsmanager")
    ids = {aws.stacks[name].ids["DatabasePassword"] for name in (STACK, f"{STACK}-ui")}
    values = {secrets.get_secret_value(SecretId=one)["SecretString"] for one in ids}
    assert len(ids) == len(values) == 2
