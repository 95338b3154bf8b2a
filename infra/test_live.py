"""Tests of the versions and aliases that SAM makes of the template: what is called, and when it is replaced.

    python -m unittest infra/test_live.py
"""

import copy
import re
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "testing/emulator")]

import latency  # noqa: E402
import stack  # noqa: E402

# Of the alias, and not of the function.
OF_ALIAS = ("AutoPublishAlias", "AutoPublishAliasAllProperties", "VersionDescription", "ProvisionedConcurrencyConfig",
            "DeploymentPreference")
# Of its role, and of its code, whose place has another name when it changes.
NOT_OF_VERSION = ("Policies", "CodeUri")


class Live(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.raw = stack.load(HERE / "template.yaml")
        cls.template = stack.with_local_code(cls.raw)
        cls.expanded = cls.expand({})["Resources"]
        cls.live = {name for name, resource in cls.template["Resources"].items()
                    if resource.get("Properties", {}).get("AutoPublishAlias") == "live"}

    @classmethod
    def expand(cls, parameters):
        template = copy.deepcopy(cls.template)
        for name, parameter in template["Parameters"].items():
            parameters.setdefault(name, str(parameter["Default"]))
        return stack.expand(template, parameters, "us-east-1")

    def test_the_functions_on_the_way_of_an_alert_are_called_by_their_alias(self):
        self.assertEqual(self.live, {"FanoutFunction", "DeliveryFunction"})
        # What may name them: an alarm and the dashboard by the function's name, for all of its versions.
        may = {"AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard", "AWS::Lambda::Version", "AWS::Lambda::Alias",
               "AWS::Lambda::EventInvokeConfig"}
        for name, resource in self.expanded.items():
            if resource["Type"] not in may:
                self.assertFalse(stack.referred(resource) & self.live, f"{name} calls a function without its alias")
        called = {name for resource in self.expanded.values() if resource["Type"] not in may
                  for name in stack.referred(resource) if name.endswith("Aliaslive")}
        self.assertEqual(called, {f"{name}Aliaslive" for name in self.live})
        qualifier = self.expanded["FanoutAsync"]["Properties"]["Qualifier"]
        arn = {"Fn::GetAtt": ["FanoutFunctionAliaslive", "AliasArn"]}
        self.assertEqual(qualifier, {"Fn::Select": [7, {"Fn::Split": [":", arn]}]})

    def test_a_version_is_published_for_every_parameter_that_changes_its_function(self):
        """An alias calls the version that was published last. What SAM does not see would never take effect."""
        parameters = self.template["Parameters"]
        globals_ = self.template["Globals"]["Function"]
        for name in self.live:
            own = self.raw["Resources"][name]["Properties"]
            function = {**globals_, **own, "Environment": [globals_["Environment"], own["Environment"]]}
            function = {key: value for key, value in function.items() if key not in (*OF_ALIAS, *NOT_OF_VERSION)}
            description = own["VersionDescription"]
            self.assertEqual(stack.referred(description) & parameters.keys(), self.decided_by(function), name)
            [version] = [resource["Properties"] for resource in self.expanded.values()
                         if resource["Type"] == "AWS::Lambda::Version" and resource["Properties"]["FunctionName"] == {"Ref": name}]
            self.assertEqual(version["Description"], description)
            # CloudFormation replaces a version if its description, of 256 characters at most, changes.
            longest = re.sub(r"\$\{(\w+)\}", lambda name: "x" * self.longest(parameters[name[1]]), description["Fn::Sub"])
            self.assertLessEqual(len(longest), 256)

    def decided_by(self, node):
        """The parameters that decide about a part of the template, directly or by conditions."""
        names = stack.referred(node)
        if isinstance(node, dict):
            for key, value in node.items():
                condition = value[0] if key == "Fn::If" else value if key == "Condition" and isinstance(value, str) else None
                names |= self.decided_by(self.template["Conditions"][condition]) if condition else set()
                names |= self.decided_by(value)
        if isinstance(node, list):
            names = names.union(*map(self.decided_by, node))
        return names & self.template["Parameters"].keys()

    def longest(self, parameter):
        if parameter["Type"] == "Number":
            return len(str(parameter["MaxValue"]))
        return max(map(len, parameter["AllowedValues"])) if "AllowedValues" in parameter else parameter["MaxLength"]

    def test_environments_are_kept_warm_by_parameter(self):
        for resource in self.expanded.values():
            if resource["Type"] == "AWS::Lambda::Alias":
                condition, config, otherwise = resource["Properties"]["ProvisionedConcurrencyConfig"]["Fn::If"]
                self.assertEqual(config, {"ProvisionedConcurrentExecutions": {"Ref": condition}})
                self.assertEqual(otherwise, {"Ref": "AWS::NoValue"})
        for name in ("WarmFanout", "WarmDelivery"):
            self.assertEqual(self.template["Parameters"][name]["Default"], 0)

    def test_the_documentation_has_the_latencies_as_they_are_computed(self):
        documented = (HERE.parent / "docs/latency.md").read_text()
        self.assertIn("\n" + latency.tables() + "\n", documented, "run python infra/latency.py")
        memory = {self.raw["Resources"][name]["Properties"]["MemorySize"] for name in self.live}
        self.assertEqual(memory, {latency.MEMORY_MB})

    def test_a_canary_is_rolled_back_by_the_alarms_of_all_functions(self):
        kinds = [resource["Type"] for resource in self.expanded.values()]
        self.assertNotIn("AWS::CodeDeploy::Application", kinds, "no canary unless it is asked for")
        canary = self.expand({"Canary": "true"})["Resources"]
        groups = [resource["Properties"] for resource in canary.values()
                  if resource["Type"] == "AWS::CodeDeploy::DeploymentGroup"]
        self.assertEqual(len(groups), len(self.live))
        errors = {name for name in canary if name.endswith("ErrorsAlarm")}
        for group in groups:
            alarms = {alarm["Name"]["Ref"] for alarm in group["AlarmConfiguration"]["Alarms"]}
            self.assertEqual(alarms, errors)
            self.assertTrue(group["AlarmConfiguration"]["Enabled"])
            self.assertIn("DEPLOYMENT_STOP_ON_ALARM", group["AutoRollbackConfiguration"]["Events"])
        for name in self.live:
            update = canary[f"{name}Aliaslive"]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
            self.assertIn("DeploymentGroupName", update)
