"""What cdk-nag and checkov find in the template is what cdk/review.toml accepts, each with its reason.

    python -m unittest infra/test_review.py     # after `npm ci` in infra/cdk, and with target/venv-review
"""

import json
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path

HERE = Path(__file__).parent
CHECKOV = HERE.parent / "target/venv-review/bin/checkov"
sys.path.insert(0, str(HERE.parent / "testing/emulator"))

import stack  # noqa: E402


def of_cdk_nag(template: Path) -> set[tuple[str, str, str]]:
    ran = subprocess.run(["node", "nag.mjs", template], cwd=HERE / "cdk", capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    # "AwsSolutions-IAM4[Policy::…]": what follows the name says which of several it is.
    return {("cdk-nag", finding["rule"].partition("[")[0], finding["resource"]) for finding in found}


def of_checkov(template: Path) -> set[tuple[str, str, str]]:
    command = [CHECKOV, "--framework", "cloudformation", "--skip-download", "--compact", "--quiet", "-o", "json", "-f", template]
    # It exits with 1 if it finds anything.
    report = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)
    failed = report["results"]["failed_checks"]
    return {("checkov", finding["check_id"], finding["resource"].rpartition(".")[2]) for finding in failed}


class Review(unittest.TestCase):
    def test_every_finding_is_accepted_and_every_accepted_one_is_found(self):
        template = stack.load(HERE / "template.yaml")
        with tempfile.TemporaryDirectory() as folder:
            expanded = Path(folder) / "template.json"
            expanded.write_text(json.dumps(stack.expand(stack.with_local_code(template), {}, "us-east-1")))
            found = of_cdk_nag(expanded) | of_checkov(expanded)
        rows = tomllib.loads((HERE / "cdk/review.toml").read_text())["accepted"]
        accepted = {(row["tool"], row["rule"], resource) for row in rows for resource in row["resources"]}
        self.assertTrue(all(row["reason"].endswith(".") for row in rows))
        self.assertEqual(found - accepted, set(), "a new finding: mend it, or accept it with the reason")
        self.assertEqual(accepted - found, set(), "no longer found: remove it from review.toml")


if __name__ == "__main__":
    unittest.main()
