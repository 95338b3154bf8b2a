"""Calls the real program with what its OpenAPI description allows, and with what it forbids.

    python local/tests/fuzz/fuzz.py target/debug/statuspulse [SEED]

Schemathesis makes the calls, from a fixed seed unless another is given: no answer may be a 5xx, have a status, a media type or a body that the
description does not name, or take what the description refuses. `hooks.py` points them at what exists, so that they get past
404, and at a receiver on loopback, so that none leaves this machine.
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
    """Answers with the status its path names: /500 with 500."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        named = re.match(r"/(\d{3})", self.path)
        self.send_response(int(named[1]) if named else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def call(url, key, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def fuzz(api, seed, key, folder, environment, *selection):
    command = [
        Path(sys.executable).parent / "schemathesis", "--config-file", HERE / "schemathesis.toml",
        "run", f"{api}/openapi.json", "--url", api,
        "--header", f"Authorization:Bearer {key}", "--checks", ",".join(CHECKS), "--seed", seed,
        "--generation-database", "none", "--max-examples", str(EXAMPLES),
        "--phases", "examples,coverage,fuzzing,stateful", "--workers", "1", "--no-color", "--warnings", "off",
        # A busy machine is no finding.
        "--request-timeout", "60", "--suppress-health-check", "too_slow", *selection,
    ]
    return subprocess.run(command, env=environment, cwd=folder, check=False).returncode


def never_succeeded(api, seen):
    """Says what was answered how often, and whether an operation was only ever refused: that would have tried nothing."""
    counts = collections.defaultdict(collections.Counter)
    for line in seen.read_text().splitlines():
        operation, status = line.split()
        counts[operation][status] += 1
    with urllib.request.urlopen(f"{api}/openapi.json") as answer:
        paths = json.load(answer)["paths"]
    # The document itself is what each run begins with.
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
    # Schemathesis keeps what it found where it runs, and would try that first: each run is to be like the one before.
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
            environment = {**clean, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1",
                           "FUZZ_API": api, "FUZZ_KEY": admin, "FUZZ_TARGET": target, "FUZZ_SEEN": f"{folder}/seen"}
            # Each is called with a key that may; that others may not is told by the tests in shared/http.
            failed = fuzz(api, seed, admin, folder, environment, "--exclude-operation-id", "createAccount")
            failed |= fuzz(api, seed, operator, folder, environment, "--include-operation-id", "createAccount",
                           "--include-operation-id", "publishEvent")
            failed |= never_succeeded(api, Path(folder, "seen"))
            server.terminate()
            return failed or server.wait(timeout=30)
        finally:
            server.kill()


if __name__ == "__main__":
    sys.exit(main(str(Path(sys.argv[1]).resolve()), *sys.argv[2:]))
