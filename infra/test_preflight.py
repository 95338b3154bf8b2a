"""Tests of preflight.py, with the answers of AWS played back.

    python -m unittest infra/test_preflight.py
"""

import sys
import unittest
from pathlib import Path

import boto3
from botocore.stub import Stubber

sys.path.insert(0, str(Path(__file__).parent))

import preflight  # noqa: E402


def account(concurrency=1000, zones=("a", "b", "c"), used=0, quota=5):
    """Returns what makes clients of an account."""
    answers = {
        "lambda": [("get_account_settings", {"AccountLimit": {"ConcurrentExecutions": concurrency}})],
        "ec2": [
            ("describe_availability_zones", {
                "AvailabilityZones": [{"ZoneName": f"us-east-1{zone}", "State": "available"} for zone in zones]}),
            ("describe_addresses", {"Addresses": [{"PublicIp": "192.0.2.1"}] * used})],
        "service-quotas": [("get_service_quota", {"Quota": {"Value": float(quota)}})],
    }

    def client(service):
        made = boto3.client(service, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
        stubber = Stubber(made)
        for operation, answer in answers[service]:
            stubber.add_response(operation, answer)
        stubber.activate()
        return made
    return client


def problems(parameters, **has):
    return [text for fails, text in preflight.checks(account(**has), parameters) if fails]


PROD = {"StaticEgress": "true"}


class Preflight(unittest.TestCase):
    def test_an_account_with_the_usual_quotas_passes(self):
        self.assertEqual(problems({}), [])
        self.assertEqual(problems(PROD), [])
        self.assertEqual(len(list(preflight.checks(account(), PROD))), 3)

    def test_a_new_account_is_told_which_concurrency_to_set(self):
        for has, advice in ((999, "MaxConcurrency=100,"), (60, "MaxConcurrency=50,"), (10, "at least 50")):
            problem, = problems({}, concurrency=has)
            self.assertIn(advice, problem)
        self.assertEqual(problems({"MaxConcurrency": "100"}, concurrency=100), [])

    def test_static_egress_needs_zones_and_addresses(self):
        self.assertIn("only us-east-1a, us-east-1b", problems(PROD, zones=("a", "b"))[0])
        self.assertEqual(len(problems(PROD, used=2)), 0)
        self.assertIn("3 of 5 are used", problems(PROD, used=3)[0])
        existing = PROD | {"EgressAllocationId1": "eipalloc-1"}
        self.assertEqual(problems(existing, used=5), [])
        named = PROD | {"Zone1": "us-east-1a", "Zone2": "us-east-1x", "Zone3": "us-east-1c"}
        self.assertIn("us-east-1x not available", problems(named)[0])

    def test_reads_the_parameters_of_both_environments(self):
        self.assertEqual(preflight.parameters_of("prod")[1]["StaticEgress"], "true")
        self.assertEqual(preflight.parameters_of("dev")[0], "us-east-1")
        with self.assertRaisesRegex(SystemExit, "no environment staging"):
            preflight.parameters_of("staging")


if __name__ == "__main__":
    unittest.main()
