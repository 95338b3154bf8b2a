"""Fuzzes the API of the real program with calls that its OpenAPI description allows and forbids.

    python local/tests/fuzz/fuzz.py target/debug/statuspulse [SEED]

Schemathesis generates the calls from a seed, which is fixed by default. An answer must not be a 5xx, must have a
status, media type and body that the description lists, and must refuse what the description forbids. `hooks.py`
directs the calls at objects that exist, so that they do not all end with 404, and at a receiver on loopback, so that
none leaves the machine.
"""

import collections
import http.server
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
SEED = "1105"
EXAMPLES = 150
CHECKS = [
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "missing_required_header", "unsupported_method",
    "allow_header_conformance", "use_after_free", "ignored_auth",
]


class Receiver(http.server.BaseHTTPRequestHandler):
    """Answers with the status in the path, such as 500 for /500."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        named = re.match(r"/(\d{3})", self.path)
        self.send_response(int(named[1]) if named else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def call(url, key, body=None, method=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Authorization": f"Bearer {key}"}, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def fuzz(api, seed, key, folder, environment, *selection):
    command = [
        Path(sys.executable).parent / "schemathesis", "--config-file", HERE / "schemathesis.toml",
        "run", f"{api}/openapi.json", "--url", api,
        "--header", f"Authorization:Bearer {key}", "--checks", ",".join(CHECKS), "--seed", seed,
        "--generation-database", "none", "--max-examples", str(EXAMPLES),
        "--phases", "examples,coverage,fuzzing,stateful", "--workers", "1", "--no-color", "--warnings", "off",
        # A slow answer of a busy machine is not a failure.
        "--request-timeout", "60", "--suppress-health-check", "too_slow", *selection,
    ]
    return subprocess.run(command, env=environment, cwd=folder, check=False).returncode


def never_succeeded(api, seen):
    """Prints the statuses of each operation. Returns whether an operation never succeeded: its success was not tested."""
    counts = collections.defaultdict(collections.Counter)
    for line in seen.read_text().splitlines():
        operation, status = line.split()
        counts[operation][status] += 1
    with urllib.request.urlopen(f"{api}/openapi.json") as answer:
        paths = json.load(answer)["paths"]
    # Schemathesis reads the document itself at the start of each run.
    operations = sorted(
        operation["operationId"] for path, methods in paths.items() if path != "/openapi.json" for operation in methods.values())
    for operation in operations:
        print(f"{operation:20}", "  ".join(f"{status} {count}" for status, count in sorted(counts[operation].items())))
    refused = [one for one in operations if not any(status.startswith("2") for status in counts[one])]
    if refused:
        print("never succeeded:", ", ".join(refused))
    return bool(refused)


def main(program, seed=SEED):
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    target = f"http://127.0.0.1:{receiver.server_port}"
    # Schemathesis stores its findings in the working directory and tries them first in the next run. A temporary folder
    # makes every run start without them.
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/data"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("STATUSPULSE_")}
        server = subprocess.Popen(
            [program, "serve", "--data", data, "--listen", "127.0.0.1:0", "--dev-allow-cidr", "127.0.0.0/8",
             "--pagerduty-url", f"{target}/202"],
            stdout=subprocess.PIPE, text=True, env=clean)
        try:
            api = server.stdout.readline().removeprefix("ready ").strip()

            def make_key(*options):
                created = subprocess.run(
                    [program, "keys", "create", "--data", data, *options], env=clean, check=True,
                    stdout=subprocess.PIPE, text=True)
                return created.stdout.strip()

            admin, operator = make_key("--account", "Fuzzed", "--role", "admin"), make_key("--role", "operator")
            # Many webhooks with the same few URLs. Quotas are fuzzed on another account.
            account = call(f"{api}/v1/account", admin)["id"]
            call(f"{api}/v1/accounts/{account}/quotas", operator, {"webhooks_per_url": 500}, "PATCH")
            other = call(f"{api}/v1/accounts", operator, {"name": "Quotas"})["id"]
            environment = {**clean, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1",
                           "FUZZ_API": api, "FUZZ_KEY": admin, "FUZZ_TARGET": target, "FUZZ_OTHER": other, "FUZZ_OPERATOR": operator,
                           "FUZZ_SEEN": f"{folder}/seen"}
            # Each operation is called with a role that may call it. The tests in shared/http cover the other roles.
            of_operators = ["createAccount", "getQuotas", "setQuotas", "createKeyOfAccount", "listKeysOfAccount", "revokeKeyOfAccount"]
            not_these = [word for one in of_operators for word in ("--exclude-operation-id", one)]
            only_these = [word for one in [*of_operators, "publishEvent"] for word in ("--include-operation-id", one)]
            failed = fuzz(api, seed, admin, folder, environment, *not_these)
            failed |= fuzz(api, seed, operator, folder, environment, *only_these)
            failed |= never_succeeded(api, Path(folder, "seen"))
            server.terminate()
            return failed or server.wait(timeout=30)
        finally:
            server.kill()


if __name__ == "__main__":
    sys.exit(main(str(Path(sys.argv[1]).resolve()), *sys.argv[2:]))
