"""The CDK app makes the stack that SAM makes.

    python -m unittest infra/test_cdk.py        # after `npm ci` in infra/cdk
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "testing/emulator"))

import stack  # noqa: E402


def synthesised(functions: Path) -> dict:
    """What `cdk synth` makes, without an account and without the network."""
    with tempfile.TemporaryDirectory() as out:
        environment = os.environ | {"CDK_OUTDIR": out, "CDK_CONTEXT_JSON": json.dumps({"functions": str(functions)})}
        ran = subprocess.run(["node", "app.mjs"], cwd=HERE / "cdk", env=environment, capture_output=True, text=True)
        if ran.returncode:
            raise RuntimeError(ran.stderr)
        if ran.stdout or "WARNING" in ran.stderr:
            raise AssertionError(ran.stdout + ran.stderr)
        return json.loads((Path(out) / "statuspulse.template.json").read_text())


class Cdk(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.functions = Path(self.folder.name)
        self.template = stack.load(HERE / "template.yaml")
        for binary in set(stack.binaries(self.template).values()):
            (self.functions / binary).mkdir()
            (self.functions / binary / "bootstrap").write_text(binary)

    def tearDown(self):
        self.folder.cleanup()

    def test_the_app_makes_the_stack_that_sam_makes(self):
        made = synthesised(self.functions)
        keys = set()
        for name in stack.binaries(self.template):
            code = made["Resources"][name]["Properties"].pop("CodeUri")
            keys.add(code["Key"])
            made["Resources"][name]["Properties"]["CodeUri"] = {"Bucket": "code", "Key": name}
            self.template["Resources"][name]["Properties"]["CodeUri"] = {"Bucket": "code", "Key": name}
        self.assertEqual(len(keys), 1, "all functions have the same code")
        made, expected = (stack.expand(template, {}, "us-east-1") for template in (made, self.template))
        made, expected = (without_hashes(template) for template in (made, expected))
        self.assertEqual(normal(made["Resources"]), normal(expected["Resources"]))
        for section in ("Parameters", "Conditions", "Mappings", "Outputs", "Rules"):
            self.assertEqual(normal(made.get(section)), normal(expected.get(section)), section)

    def test_a_function_that_was_not_built_is_named(self):
        (self.functions / "functions/bootstrap").unlink()
        with self.assertRaisesRegex(RuntimeError, "functions has no bootstrap: build the functions first"):
            synthesised(self.functions)


def without_hashes(template: dict) -> dict:
    """The template without the hashes in the names of versions: CDK writes the same functions with other words."""
    return json.loads(re.sub(r"(FunctionVersion)[0-9a-f]{10}", r"\1", json.dumps(template)))


def normal(value):
    """The value with every reference and every dependency in its long form."""
    if isinstance(value, dict):
        if value.keys() == {"Fn::GetAtt"} and isinstance(value["Fn::GetAtt"], str):
            return {"Fn::GetAtt": value["Fn::GetAtt"].split(".", 1)}
        if isinstance(value.get("DependsOn"), str):
            value = value | {"DependsOn": [value["DependsOn"]]}
        return {name: normal(part) for name, part in value.items()}
    if isinstance(value, list):
        return [normal(part) for part in value]
    return value


if __name__ == "__main__":
    unittest.main()
