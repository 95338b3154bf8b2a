#!/usr/bin/env python3
"""Checks before a deployment whether the AWS account has what the stack needs. It only reads.

    preflight.py ENVIRONMENT        # dev or prod: the parameters are those of samconfig.toml

Prints a line for each check, and ends with 1 if one fails. The rights it needs: sts:GetCallerIdentity,
lambda:GetAccountSettings, ec2:DescribeAvailabilityZones, ec2:DescribeAddresses, servicequotas:GetServiceQuota.
"""

import sys
import tomllib
from pathlib import Path

CONFIGURATION = Path(__file__).parent / "samconfig.toml"
# The quota "EC2-VPC Elastic IPs".
ELASTIC_IPS = {"ServiceCode": "ec2", "QuotaCode": "L-0263D0A3"}
ADDRESSES = ZONES = 3
# The values of MaxConcurrency.
CONCURRENCY = (10000, 1000, 100, 50)


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    import boto3

    region, parameters = parameters_of(sys.argv[1])
    session = boto3.Session(region_name=region)
    account = session.client("sts").get_caller_identity()["Account"]
    print(f"account {account}, region {region}")
    failed = 0
    for problem, text in checks(session.client, parameters):
        print(f"{'FAILS' if problem else 'ok   '}  {text}")
        failed += problem
    return 1 if failed else 0


def parameters_of(environment: str) -> tuple[str, dict[str, str]]:
    """Returns the region of an environment, and the parameters that it sets."""
    configuration = tomllib.loads(CONFIGURATION.read_text())
    if environment not in configuration or "deploy" not in configuration[environment]:
        raise SystemExit(f"{CONFIGURATION.name} has no environment {environment}")
    commands = configuration[environment]
    overrides = [override.partition("=") for override in commands["global"]["parameters"]["parameter_overrides"]]
    return commands["deploy"]["parameters"]["region"], {name: value for name, _, value in overrides}


def checks(client, parameters: dict[str, str]):
    """Yields whether each check fails, and what it saw."""
    yield concurrency(client("lambda"), int(parameters.get("MaxConcurrency", "1000")))
    if parameters.get("StaticEgress") == "true":
        ec2 = client("ec2")
        yield zones(ec2, [parameters[name] for name in ("Zone1", "Zone2", "Zone3") if name in parameters])
        if "EgressAllocationId1" not in parameters:
            yield addresses(ec2, client("service-quotas"))


def concurrency(function_client, wanted: int) -> tuple[bool, str]:
    limit = function_client.get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    if limit >= wanted:
        return False, f"Lambda: {limit} concurrent executions, MaxConcurrency is {wanted}"
    fitting = [known for known in CONCURRENCY if known <= limit]
    advice = f"set MaxConcurrency={fitting[0]}" if fitting else f"the stack needs at least {CONCURRENCY[-1]}"
    return True, (f"Lambda: {limit} concurrent executions, MaxConcurrency is {wanted}: {advice}, or ask for more "
                  "(Service Quotas, Lambda, Concurrent executions)")


def zones(ec2, named: list[str]) -> tuple[bool, str]:
    described = ec2.describe_availability_zones(Filters=[{"Name": "zone-type", "Values": ["availability-zone"]}])
    available = sorted(zone["ZoneName"] for zone in described["AvailabilityZones"] if zone["State"] == "available")
    unknown = [zone for zone in named if zone not in available]
    if unknown:
        return True, f"zones: {', '.join(unknown)} not available; the region has {', '.join(available)}"
    if len(available) < ZONES:
        return True, f"zones: the region has only {', '.join(available)}; StaticEgress needs {ZONES}"
    return False, f"zones: {', '.join(named or available[:ZONES])}"


def addresses(ec2, quotas) -> tuple[bool, str]:
    limit = int(quotas.get_service_quota(**ELASTIC_IPS)["Quota"]["Value"])
    used = len(ec2.describe_addresses()["Addresses"])
    text = f"Elastic IPs: {used} of {limit} are used, StaticEgress creates {ADDRESSES} at its first deployment"
    if used + ADDRESSES <= limit:
        return False, text
    return True, text + ": ask for more (Service Quotas, EC2, EC2-VPC Elastic IPs), or name existing ones"


if __name__ == "__main__":
    sys.exit(main())
