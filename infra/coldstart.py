#!/usr/bin/env python3
"""Starts each function against a stand-in for Lambda's Runtime API and measures it, as released.

    coldstart.py BOOTSTRAPS     (a folder with the binaries: target/release)

AWS is the emulator, on loopback: so the figures are those of our own process, its SDK included, and of nothing on the
other side. CPU is what the kernel counts in nanoseconds for all threads (schedstat). Exits with 1 if a target is missed.
"""

import http.server
import io
import json
import queue
import statistics
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from pathlib import Path

import boto3

INFRA = Path(__file__).resolve().parent
STARTS = 10
INVOCATIONS = 200
FUNCTIONS = ("registration", "fanout", "delivery", "pause", "drain")
INIT_CPU_MS_MAX = 30.0
DELIVERY_CPU_MS_MAX = 1.0
BINARY_MB_MAX = 10.0


class Runtime(http.server.ThreadingHTTPServer):
    """Lambda, for one process: hands out events, takes answers, and counts polls."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), RuntimeHandler)
        self.events: queue.Queue = queue.Queue()
        self.answers: queue.Queue = queue.Queue()
        self.polled = threading.Event()

    def handle_error(self, request, client_address):
        """A function that is ended leaves its poll behind."""


class RuntimeHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.server.polled.set()
        event = self.server.events.get()
        body = json.dumps(event).encode()
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", str(uuid.uuid4()))
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int(time.time() * 1000) + 20_000))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:x")
        self.answer(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path.endswith("/response"):
            self.server.answers.put(json.loads(body))
        else:
            self.server.answers.put({"failed": body.decode()})
        self.send_response(202)
        self.answer(b"{}")

    def answer(self, body: bytes):
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Function:
    """One bootstrap that runs."""

    def __init__(self, binary: Path, environment: dict[str, str]):
        self.runtime = Runtime()
        threading.Thread(target=self.runtime.serve_forever, daemon=True).start()
        address = "127.0.0.1:%d" % self.runtime.server_address[1]
        own = {"AWS_LAMBDA_RUNTIME_API": address, "AWS_LAMBDA_FUNCTION_NAME": binary.name,
               "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
               "AWS_LAMBDA_LOG_LEVEL": "ERROR"}
        began = time.perf_counter()
        self.process = subprocess.Popen([binary], env=environment | own, stdout=subprocess.DEVNULL)
        if not self.runtime.polled.wait(30):
            raise SystemExit(f"{binary.name} never polled")
        self.start_ms = (time.perf_counter() - began) * 1000
        self.start_cpu_ms = self.cpu_ms()

    def cpu_ms(self) -> float:
        nanoseconds = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            nanoseconds += int((task / "schedstat").read_text().split()[0])
        return nanoseconds / 1e6

    def peak_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def invoke(self, event) -> tuple[dict, float, float]:
        """The answer, and the milliseconds and CPU milliseconds it took."""
        cpu, began = self.cpu_ms(), time.perf_counter()
        self.runtime.events.put(event)
        answer = self.runtime.answers.get(timeout=30)
        return answer, (time.perf_counter() - began) * 1000, self.cpu_ms() - cpu

    def end(self):
        self.process.kill()
        self.process.wait()
        self.runtime.shutdown()


def api_call(method: str, path: str, key: str, body=None, headers=None) -> dict:
    """A call as API Gateway passes it on."""
    return {"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
            "headers": {"authorization": f"Bearer {key}", "content-type": "application/json", "host": "api"} | (headers or {}),
            "requestContext": {"accountId": "0", "apiId": "a", "domainName": "api", "domainPrefix": "api", "requestId": "r",
                               "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1",
                                        "userAgent": "coldstart"},
                               "routeKey": "$default", "stage": "$default", "time": "24/Nov/2026:12:00:00 +0000",
                               "timeEpoch": 0},
            "body": None if body is None else json.dumps(body), "isBase64Encoded": False}


def messages(queue_name: str, bodies: list[str]) -> dict:
    return {"Records": [
        {"messageId": str(uuid.uuid4()), "receiptHandle": "r", "body": body,
         "attributes": {"ApproximateReceiveCount": "1"}, "messageAttributes": {}, "eventSource": "aws:sqs",
         "eventSourceARN": f"arn:aws:sqs:us-east-1:000000000000:{queue_name}", "awsRegion": "us-east-1"}
        for body in bodies]}


class Stage:
    """The emulator, a receiver, an account and a webhook; and an event for each invocation of each function."""

    def __init__(self, binaries: Path):
        self.emulator = subprocess.Popen(
            [sys.executable, INFRA / "emulator/launch.py", INFRA / "template.yaml", "--data-only", "--until-stdin-closes"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ready = json.loads(self.emulator.stdout.readline())
        out = ready["outputs"]
        self.first_queue = out["FirstQueueUrl"]
        self.environment = ready["environment"] | {
            "STATUSPULSE_TABLE": out["TableName"], "STATUSPULSE_KMS_KEY_ID": out["KmsKeyArn"],
            "STATUSPULSE_FIRST_QUEUE_URL": out["FirstQueueUrl"], "STATUSPULSE_RETRY_1M_QUEUE_URL": out["Retry1mQueueUrl"],
            "STATUSPULSE_SWEEP_QUEUE_URL": out["SweepQueueUrl"], "STATUSPULSE_NOTICE_QUEUE_URL": out["NoticeQueueUrl"],
            "STATUSPULSE_EVENT_BUS": out["EventBusName"], "STATUSPULSE_LADDER": "60s,300s,900s,3600s",
            "STATUSPULSE_DEV_ALLOW_CIDR": "127.0.0.0/8"}
        self.sqs = boto3.client("sqs", endpoint_url=ready["endpoint"], region_name="us-east-1",
                                aws_access_key_id="test", aws_secret_access_key="test")
        receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        api = Function(binaries / "registration", self.environment)
        key = api.invoke({"operator_key": {}})[0]["key"]
        made = api.invoke(api_call("POST", "/v1/accounts", key, {"name": "Acme"}))[0]
        self.admin = json.loads(made["body"])["key"]
        hook = {"url": "http://127.0.0.1:%d/hook" % receiver.server_address[1], "events": ["incident_opened"]}
        answer = api.invoke(api_call("POST", "/v1/webhooks", self.admin, hook))[0]
        if json.loads(answer["body"])["status"] != "active":
            raise SystemExit(f"the webhook is not active: {answer}")
        api.end()
        self.incidents = 0

    def publish(self) -> dict:
        self.incidents += 1
        payload = {"event_type": "incident_opened", "incident_id": f"INC-{self.incidents}", "monitor_name": "checkout",
                   "status": "investigating", "triggered_at": "2024-03-15T14:22:01Z", "details": {"latency_ms": 1240}}
        return api_call("POST", "/v1/events", self.admin, {"payload": payload})

    def first_attempt(self, fanout: Function) -> dict:
        """Publishes an event and takes its message from the queue."""
        fanout.invoke(self.publish())
        received = self.sqs.receive_message(QueueUrl=self.first_queue, WaitTimeSeconds=5)["Messages"][0]
        self.sqs.delete_message(QueueUrl=self.first_queue, ReceiptHandle=received["ReceiptHandle"])
        return messages("statuspulse-first", [received["Body"]])

    def events(self, function: str, count: int, fanout: Function) -> list[dict]:
        nobody = "whe_01HS17VFS8E8W4T3VT3N9EWKT5"
        if function == "registration":
            return [api_call("GET", "/v1/webhooks", self.admin)] * count
        if function == "fanout":
            return [self.publish() for _ in range(count)]
        if function == "delivery":
            return [self.first_attempt(fanout) for _ in range(count)]
        kind = {"kind": "notice", "webhook_id": nobody, "epoch": 1} if function == "pause" else {
            "kind": "sweep", "webhook_id": nobody, "epoch": 1, "step": 0}
        return [messages("statuspulse-notice" if function == "pause" else "statuspulse-sweep", [json.dumps(kind)])] * count

    def end(self):
        self.emulator.stdin.close()
        self.emulator.wait()


def measure(stage: Stage, binaries: Path, name: str, fanout: Function) -> tuple[str, list[str]]:
    """A row of the table, and the targets it misses."""
    binary = binaries / name
    starts = []
    for _ in range(STARTS):
        function = Function(binary, stage.environment)
        starts.append((function.start_ms, function.start_cpu_ms))
        function.end()
    function = Function(binary, stage.environment)
    first, *later = stage.events(name, 1 + INVOCATIONS, fanout)
    answer, first_ms, first_cpu = function.invoke(first)
    if answer.get("batchItemFailures") or "failed" in answer or answer.get("statusCode", 200) >= 300:
        raise SystemExit(f"{name} answers {answer}")
    measured = [function.invoke(event)[1:] for event in later]
    later_ms, later_cpu = (statistics.median(column) for column in zip(*measured))
    peak = function.peak_mb()
    function.end()
    start_ms, start_cpu = (statistics.median(column) for column in zip(*starts))
    size = binary.stat().st_size / 1e6
    missed = []
    if start_cpu > INIT_CPU_MS_MAX:
        missed.append(f"{name}: init takes {start_cpu:.1f} ms CPU, the target is {INIT_CPU_MS_MAX:.0f}")
    if size > BINARY_MB_MAX:
        missed.append(f"{name}: the binary has {size:.1f} MB, the target is {BINARY_MB_MAX:.0f}")
    if name == "delivery" and later_cpu > DELIVERY_CPU_MS_MAX:
        missed.append(f"{name}: a delivery takes {later_cpu:.2f} ms CPU, the target is {DELIVERY_CPU_MS_MAX:.0f}")
    return (f"| {name} | {size:.1f} | {zipped_mb(binary):.1f} | {start_ms:.0f} | {start_cpu:.1f} | {first_ms:.1f} | {first_cpu:.1f} "
            f"| {later_ms:.1f} | {later_cpu:.2f} | {peak:.0f} |"), missed


def zipped_mb(binary: Path) -> float:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.write(binary, "bootstrap")
    return len(archive.getvalue()) / 1e6


def main() -> int:
    binaries = Path(sys.argv[1]).resolve()
    stage = Stage(binaries)
    missed = []
    try:
        print("| function | binary MB | zipped MB | start ms | start CPU ms | first ms | first CPU ms | later ms | later CPU ms | peak MB |")
        print("|---|---|---|---|---|---|---|---|---|---|")
        fanout = Function(binaries / "fanout", stage.environment)
        for name in FUNCTIONS:
            row, misses = measure(stage, binaries, name, fanout)
            print(row, flush=True)
            missed += misses
        fanout.end()
    finally:
        stage.end()
    for line in missed:
        print(line, file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
