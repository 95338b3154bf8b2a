#!/usr/bin/env python3
"""The deployed stack on this machine, for a person: starts it, makes an operator key, prints what to call.

    aws_local.py                     serves until Ctrl-C
    aws_local.py --invoke FUNCTION   invokes one function with events/invoke/FUNCTION.json, prints its answer, and ends
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import boto3

INFRA = Path(__file__).resolve().parent
ROOT = INFRA.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--invoke", metavar="FUNCTION")
    function = parser.parse_args().invoke
    sample = ROOT / "events" / "invoke" / f"{function}.json"
    if function is not None and not sample.is_file():
        known = ", ".join(sorted(file.stem for file in sample.parent.glob("*.json")))
        print(f"FUNCTION is one of {known}", file=sys.stderr)
        return 2
    stack = subprocess.Popen(
        [sys.executable, INFRA / "emulator/launch.py", INFRA / "template.yaml", "--until-stdin-closes",
         "--bootstraps", ROOT / "target/debug", "--parameter", "PublicUrl={api}",
         # A receiver on this machine may be called, by plain http too; a deployment never allows that.
         "--function-env", "STATUSPULSE_DEV_ALLOW_CIDR=127.0.0.0/8,::1/128"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        line = stack.stdout.readline()
        if not line:
            print("the emulator did not start; see above", file=sys.stderr)
            return 1
        ready = json.loads(line)
        if function is None:
            introduce(ready)
            stack.wait()
        else:
            answer = invoke(ready, function, json.loads(sample.read_text()))
            print(json.dumps(answer, indent=2))
        return 0
    except KeyboardInterrupt:
        return 0
    finally:
        stack.stdin.close()
        stack.wait()


def invoke(ready: dict, function: str, event: dict) -> dict:
    environment = ready["environment"]
    client = boto3.client(
        "lambda", endpoint_url=ready["endpoint"], region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"], aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"])
    name = ready["outputs"][f"{function.capitalize()}FunctionName"]
    answer = client.invoke(FunctionName=name, Payload=json.dumps(event).encode())
    return json.loads(answer["Payload"].read())


def introduce(ready: dict) -> None:
    operator = invoke(ready, "registration", {"operator_key": {}})["key"]
    print(f"""The stack stands, with the ladder as deployed (1m, 5m, 15m, 60m).

  API            {ready["api"]}
  AWS            {ready["endpoint"]}   (any key and secret; region {ready["environment"]["AWS_REGION"]})
  operator key   {operator}

  export URL={ready["api"]} OPERATOR_KEY={operator}
  curl -s $URL/v1/accounts -H "Authorization: Bearer $OPERATOR_KEY" -d '{{"name": "Acme"}}'

Let an hour pass: curl -s {ready["control"]}/clock -d '{{"advance_ms": 3600000}}'
Ctrl-C ends it; nothing stays.""", flush=True)


if __name__ == "__main__":
    sys.exit(main())
