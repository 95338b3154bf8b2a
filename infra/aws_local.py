#!/usr/bin/env python3
"""Runs the stack on this machine, to try it out: starts it, creates an operator key, and prints how to call it.

    aws_local.py                     runs until Ctrl-C
    aws_local.py --invoke FUNCTION   invokes one function with events/invoke/FUNCTION.json, prints its answer, and ends
"""

import argparse
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import boto3

INFRA = Path(__file__).resolve().parent
ROOT = INFRA.parent
EMULATOR = ROOT / "testing/emulator"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--invoke", metavar="FUNCTION")
    function = parser.parse_args().invoke
    sample = ROOT / "events" / "invoke" / f"{function}.json"
    if function is not None and not sample.is_file():
        known = ", ".join(sorted(file.stem for file in sample.parent.glob("*.json")))
        print(f"FUNCTION must be one of {known}", file=sys.stderr)
        return 2
    stack = subprocess.Popen(
        [sys.executable, EMULATOR / "launch.py", INFRA / "template.yaml", "--until-stdin-closes",
         "--bootstraps", ROOT / "target/debug", "--parameter", "PublicUrl={api}",
         # Allows receivers on this machine, with plain http too. A real deployment never does.
         "--function-env", "STATUSPULSE_DEV_ALLOW_CIDR=127.0.0.0/8,::1/128"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        line = stack.stdout.readline()
        if not line:
            print("the emulator did not start; see the errors above", file=sys.stderr)
            return 1
        ready = json.loads(line)
        if function is None:
            introduce(ready)
            stack.wait()
        else:
            return invoke_sample(ready, function, sample.read_text())
        return 0
    except KeyboardInterrupt:
        return 0
    finally:
        stack.stdin.close()
        stack.wait()


def invoke_sample(ready: dict, function: str, event: str) -> int:
    """Invokes the function with cargo-lambda, as a developer would. Returns its exit code."""
    # The account in the sample does not exist in this stack.
    event = event.replace("acc_01HS17VFS8BC4C6R3Z9GQ94A01", new_account(ready))
    command = [Path(sys.executable).parent / "cargo-lambda", "lambda", "invoke", function_name(ready, function),
               "--remote", "--endpoint-url", ready["endpoint"], "--output-format", "json", "--data-ascii", event]
    return subprocess.run(command, env=os.environ | ready["environment"], check=False).returncode


def new_account(ready: dict) -> str:
    key = operator_key(ready)
    request = urllib.request.Request(
        f"{ready['api']}/v1/accounts", data=b'{"name": "Acme"}', headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["id"]


def function_name(ready: dict, function: str) -> str:
    return ready["outputs"][f"{function.capitalize()}FunctionName"]


def operator_key(ready: dict) -> str:
    environment = ready["environment"]
    client = boto3.client(
        "lambda", endpoint_url=ready["endpoint"], region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"], aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"])
    answer = client.invoke(FunctionName=function_name(ready, "registration"), Payload=b'{"operator_key": {}}')
    return json.loads(answer["Payload"].read())["key"]


def introduce(ready: dict) -> None:
    operator = operator_key(ready)
    print(f"""The stack is running. Its ladder is that of a deployment (1m, 5m, 15m, 60m).

  API            {ready["api"]}
  AWS            {ready["endpoint"]}   (any key and secret; region {ready["environment"]["AWS_REGION"]})
  operator key   {operator}

  export URL={ready["api"]} OPERATOR_KEY={operator}
  curl -s $URL/v1/accounts -H "Authorization: Bearer $OPERATOR_KEY" -d '{{"name": "Acme"}}'

To advance the clock by an hour: curl -s {ready["control"]}/clock -d '{{"advance_ms": 3600000}}'
Ctrl-C stops the stack and deletes its data.""", flush=True)


if __name__ == "__main__":
    sys.exit(main())
