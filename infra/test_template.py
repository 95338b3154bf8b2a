"""Tests of what the template makes of AWS: facts that an emulator cannot show.

    python -m unittest infra/test_template.py
"""

import re
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "testing/emulator")]

import preflight  # noqa: E402
import stack  # noqa: E402

# These send messages to their own queues on purpose. Lambda would take that for a loop.
CHAINED = {"DeliveryFunction", "DrainFunction", "PauseFunction"}


class Template(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.template = stack.load(HERE / "template.yaml")
        cls.functions = {name: resource["Properties"] for name, resource in cls.template["Resources"].items()
                         if resource["Type"] == "AWS::Serverless::Function"}

    def resources(self, kind):
        return {name: resource for name, resource in self.template["Resources"].items() if resource["Type"] == kind}

    def test_only_functions_in_chains_of_messages_may_be_called_in_loops(self):
        allowed = {name for name, function in self.functions.items() if function.get("RecursiveLoop") == "Allow"}
        self.assertEqual(allowed, CHAINED)
        watched = {alarm["Properties"]["Dimensions"][0]["Value"]["Ref"]
                   for alarm in self.resources("AWS::CloudWatch::Alarm").values()
                   if alarm["Properties"]["MetricName"] == "RecursiveInvocationsDropped"}
        self.assertEqual(watched, self.functions.keys() - CHAINED)

    def test_queues_leave_concurrency_for_the_api(self):
        mappings = [mapping["Properties"] for mapping in self.resources("AWS::Lambda::EventSourceMapping").values()]
        for account, shares in self.template["Mappings"]["Concurrency"].items():
            used = [shares[mapping["ScalingConfig"]["MaximumConcurrency"]["Fn::FindInMap"][2]] for mapping in mappings]
            self.assertLessEqual(sum(used), int(account) * 0.85, account)
            # What Lambda allows.
            self.assertTrue(all(2 <= share <= 1000 for share in used), account)
        parameter = self.template["Parameters"]["MaxConcurrency"]
        self.assertEqual(set(parameter["AllowedValues"]), self.template["Mappings"]["Concurrency"].keys())
        self.assertEqual(tuple(map(int, parameter["AllowedValues"])), preflight.CONCURRENCY)

    def test_a_first_deployment_can_be_rolled_back(self):
        protected = {name: table for name, table in self.resources("AWS::DynamoDB::Table").items()
                     if "DeletionProtectionEnabled" in table["Properties"]}
        self.assertTrue(protected)
        for name, table in protected.items():
            self.assertEqual(table["DeletionPolicy"], "Retain", f"{name}: a protected table cannot be deleted")
            # A name that is taken would refuse the second try.
            self.assertNotIn("TableName", table["Properties"])

    def test_metrics_of_two_stacks_are_told_apart(self):
        own = [alarm["Properties"] for alarm in self.resources("AWS::CloudWatch::Alarm").values()
               if alarm["Properties"].get("Namespace") == "StatusPulse"]
        self.assertTrue(own)
        stack_name = {"Name": "Stack", "Value": {"Ref": "AWS::StackName"}}
        for alarm in own:
            self.assertIn(stack_name, alarm.get("Dimensions", []), alarm["AlarmName"])
        body = self.template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"][0]
        metrics = re.findall(r'\["StatusPulse", "\w+"(.*?)\]', body)
        self.assertTrue(metrics)
        for metric in metrics:
            self.assertIn('"Stack", "${AWS::StackName}"', metric)

    def test_every_function_ends_before_others_rely_on_it(self):
        limits = (HERE.parent / "shared/core/src/limits.rs").read_text()
        worker_ends = int(re.search(r"WORKER_ENDS: Duration = Duration::from_secs\((\d+)\)", limits)[1])
        default = self.template["Globals"]["Function"].get("Timeout")
        for name, function in self.functions.items():
            # Half of it: a call that changes a webhook, and a worker that has read it before, may each take this long.
            self.assertLessEqual(function.get("Timeout", default), worker_ends / 2, name)

    def test_traces_are_paid_for_only_if_they_are_asked_for(self):
        self.assertEqual(self.template["Parameters"]["Tracing"]["Default"], "false")
        tracing = self.template["Globals"]["Function"]["Tracing"]
        self.assertEqual(tracing, {"Fn::If": ["Tracing", "Active", "PassThrough"]})

    def test_zones_can_be_chosen(self):
        zones = [subnet["Properties"]["AvailabilityZone"]["Fn::If"][:2]
                 for subnet in self.resources("AWS::EC2::Subnet").values()]
        self.assertEqual(sorted(zone["Ref"] for _, zone in zones), sorted(["Zone1", "Zone2", "Zone3"] * 2))

    def test_a_dead_letter_queue_without_a_queue_allows_no_redrive(self):
        """SQS moves dead letters back only to the queue that they came from."""
        queues = self.resources("AWS::SQS::Queue")
        targets = {queue["Properties"]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
                   for queue in queues.values() if "RedrivePolicy" in queue["Properties"]}
        alone = {name for name in queues if name.endswith("Dlq")} - targets
        self.assertEqual(alone, {"EventsDlq", "ScheduleDlq"})
        for name in alone:
            self.assertEqual(queues[name]["Properties"]["RedriveAllowPolicy"], {"redrivePermission": "denyAll"})

    def test_queues_refuse_calls_without_tls(self):
        refusing = [policy["Properties"]["Queues"] for policy in self.resources("AWS::SQS::QueuePolicy").values()
                    if any(statement["Effect"] == "Deny" and statement["Principal"] == "*"
                           and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
                           and statement["Resource"] == {"Fn::GetAtt": [policy["Properties"]["Queues"][0]["Ref"], "Arn"]}
                           for statement in policy["Properties"]["PolicyDocument"]["Statement"])]
        # One queue to a policy, and one policy to a queue: another would replace it.
        self.assertTrue(all(len(queues) == 1 for queues in refusing))
        self.assertEqual(sorted(queues[0]["Ref"] for queues in refusing), sorted(self.resources("AWS::SQS::Queue")))
        self.assertEqual(len(refusing), len(self.resources("AWS::SQS::QueuePolicy")))

    def test_every_vpc_has_a_flow_log(self):
        logged = {log["Properties"]["ResourceId"]["Ref"] for log in self.resources("AWS::EC2::FlowLog").values()}
        self.assertEqual(logged, self.resources("AWS::EC2::VPC").keys())


if __name__ == "__main__":
    unittest.main()
