#!/usr/bin/env python3
"""Starts the release build of each function against a mock of Lambda's Runtime API, and measures it.

    coldstart.py BINARY     (target/release/functions)

AWS is the emulator, on loopback, with plain HTTP. So this measures our own process, including the work of the SDK, but
without TLS. The targets are for CPU time, which other work on the machine affects less than wall time. Exits with 1 if
a target is missed.
"""

import http.server
import io
import json
import os
import queue
import statistics
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from pathlib import Path

import boto3  # from the emulator's venv, which runs this script

INFRA = Path(__file__).resolve().parent
EMULATOR = INFRA.parent / "testing/emulator"
STARTS = 10
INVOCATIONS = 200
INIT_CPU_MS_MAX = 30.0
DELIVERY_CPU_MS_MAX = 1.0
BINARY_MB_MAX = 13.0
ZIPPED_MB_MAX = 10.0
PATIENCE_SECONDS = 30
# A process that has just polled still runs a few instructions until it sleeps, and the kernel updates the CPU time of a
# thread when it sleeps.
SETTLE_SECONDS = 0.002

# As in the template: memory in MB, timeout in seconds, and the output for each variable.
COMMON = {"STATUSPULSE_TABLE": "TableName", "STATUSPULSE_KMS_KEY_ID": "KmsKeyArn"}
FIRST = {"STATUSPULSE_FIRST_QUEUE_URL": "FirstQueueUrl", "STATUSPULSE_SLOW_QUEUE_URL": "SlowQueueUrl"}
RETRY_1M = {"STATUSPULSE_RETRY_1M_QUEUE_URL": "Retry1mQueueUrl"}
JOB = {"STATUSPULSE_JOB_QUEUE_URL": "JobQueueUrl"}
NOTIFICATION = {"STATUSPULSE_NOTIFICATION_QUEUE_URL": "NotificationQueueUrl"}
BUS = {"STATUSPULSE_EVENT_BUS": "EventBusName"}
FUNCTIONS = {
    "registration": (512, 20, FIRST | RETRY_1M | JOB | NOTIFICATION | BUS),
    "dashboard": (512, 20, FIRST | RETRY_1M | JOB | NOTIFICATION | BUS),
    "fanout": (512, 15, FIRST | RETRY_1M),
    "delivery": (512, 20, FIRST | RETRY_1M | JOB | NOTIFICATION | {
        "STATUSPULSE_RETRY_5M_QUEUE_URL": "Retry5mQueueUrl", "STATUSPULSE_RETRY_15M_QUEUE_URL": "Retry15mQueueUrl",
        "STATUSPULSE_RETRY_60M_QUEUE_URL": "Retry60mQueueUrl", "STATUSPULSE_RETRY_60M_QUEUE_ARN": "Retry60mQueueArn",
        "STATUSPULSE_SCHEDULE_DLQ_ARN": "ScheduleDlqArn", "STATUSPULSE_SCHEDULE_GROUP": "ScheduleGroupName",
        "STATUSPULSE_SCHEDULE_ROLE_ARN": "ScheduleRoleArn"}),
    "pause": (256, 20, NOTIFICATION | BUS),
    "drain": (512, 30, FIRST | RETRY_1M | JOB | NOTIFICATION),
}


class Runtime(http.server.ThreadingHTTPServer):
    """A mock of Lambda for one process: provides events, receives responses, and records when it polls."""

    daemon_threads = True

    def __init__(self, name: str, timeout_seconds: int):
        super().__init__(("127.0.0.1", 0), RuntimeHandler)
        self.name = name
        self.timeout_seconds = timeout_seconds
        self.polls: queue.Queue = queue.Queue()
        self.events: queue.Queue = queue.Queue()
        self.answers: queue.Queue = queue.Queue()

    def handle_error(self, request, client_address):
        """Ignores the poll of a function that was ended."""


class RuntimeHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Sets TCP_NODELAY: head and body are two writes, and the second would wait for an acknowledgement.
    disable_nagle_algorithm = True

    def do_GET(self):
        self.server.polls.put("polled")
        body = json.dumps(self.server.events.get()).encode()
        deadline_ms = int((time.time() + self.server.timeout_seconds) * 1000)
        self.answer(200, body, {
            "Lambda-Runtime-Aws-Request-Id": str(uuid.uuid4()), "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": f"arn:aws:lambda:us-east-1:000000000000:function:{self.server.name}"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path.endswith("/init/error"):
            self.server.polls.put(f"failed: {body.decode()}")
        elif self.path.endswith("/response"):
            self.server.answers.put(json.loads(body))
        else:
            self.server.answers.put({"failed": body.decode()})
        self.answer(202, b"{}", {})

    def answer(self, status: int, body: bytes, headers: dict[str, str]):
        self.send_response(status)
        for name, value in (headers | {"Content-Type": "application/json", "Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Receiver(http.server.ThreadingHTTPServer):
    """A customer's endpoint that accepts and counts all requests."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), ReceiverHandler)
        self.lock = threading.Lock()
        self.taken = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}/hook"


class ReceiverHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        with self.server.lock:
            self.server.taken += 1
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Function:
    """A running bootstrap that waits for events."""

    def __init__(self, binary: Path, name: str, environment: dict[str, str]):
        memory_mb, timeout_seconds, _ = FUNCTIONS[name]
        self.name = name
        self.runtime = Runtime(name, timeout_seconds)
        threading.Thread(target=self.runtime.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        lambdas = {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.runtime.server_address[1]}", "AWS_LAMBDA_FUNCTION_NAME": name, "_HANDLER": name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb), "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            # As in the template. A higher level would measure less than what runs on AWS.
            "AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}
        began = time.perf_counter()
        self.process = subprocess.Popen([binary], env=environment | lambdas, stdout=subprocess.DEVNULL)
        try:
            self.wait_for_poll()
        except BaseException:
            self.end()
            raise
        self.start_ms = (time.perf_counter() - began) * 1000
        self.start_cpu_ms = self.cpu_ms()

    def wait_for_poll(self):
        try:
            said = self.runtime.polls.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            said = f"failed: it did not poll within {PATIENCE_SECONDS} s"
        if said != "polled":
            raise SystemExit(f"{self.name} {said}")

    def cpu_ms(self) -> float:
        """Returns the CPU time of all threads since the start, when they sleep."""
        time.sleep(SETTLE_SECONDS)
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6

    def ticked_cpu_ms(self) -> float:
        """Returns the same in steps of 10 ms, but including threads that have ended. To check the other value."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")

    def peak_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def invoke(self, event) -> tuple[dict, float, float]:
        """Returns the answer, its wall time, and the CPU time until the next poll (sending the answer counts), in ms."""
        cpu, began = self.cpu_ms(), time.perf_counter()
        self.runtime.events.put(event)
        try:
            answer = self.runtime.answers.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            raise SystemExit(f"{self.name} does not answer") from None
        wall_ms = (time.perf_counter() - began) * 1000
        self.wait_for_poll()
        self.check(answer)
        return answer, wall_ms, self.cpu_ms() - cpu

    def check(self, answer: dict):
        """Ends the run if the function failed, because failures are fast and must not count as good results."""
        if "failed" in answer or answer.get("batchItemFailures") or answer.get("statusCode", 200) >= 400:
            raise SystemExit(f"{self.name} answers {answer}")

    def end(self):
        self.process.kill()
        self.process.wait()
        self.runtime.shutdown()
        self.runtime.server_close()


def api_call(method: str, path: str, key: str, body=None) -> dict:
    """Returns a call in the format of an HTTP API (payload format 2.0)."""
    return {
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
        "headers": {"authorization": f"Bearer {key}", "content-type": "application/json", "host": "api.example.com"},
        "requestContext": {
            "accountId": "000000000000", "apiId": "api", "domainName": "api.example.com", "domainPrefix": "api",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "coldstart"},
            "requestId": "r", "routeKey": "$default", "stage": "$default", "time": "24/Nov/2026:12:00:00 +0000", "timeEpoch": 0},
        "body": None if body is None else json.dumps(body), "isBase64Encoded": False}


def page(method: str, path: str, cookie: str, form: str | None = None) -> dict:
    """Returns a browser's request for a page of the dashboard."""
    call = api_call(method, path, "", None) | {"body": form, "cookies": [cookie] if cookie else []}
    call["headers"] = {"host": "api.example.com", "sec-fetch-site": "same-origin"}
    return call


def message(queue_url: str, body: str) -> dict:
    """Returns a batch with one message, in the format of SQS."""
    name = queue_url.rpartition("/")[2]
    return {"Records": [{
        "messageId": str(uuid.uuid4()), "receiptHandle": "r", "body": body,
        "attributes": {"ApproximateReceiveCount": "1"}, "messageAttributes": {}, "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:us-east-1:000000000000:{name}", "awsRegion": "us-east-1"}]}


class Stage:
    """The emulator, a receiver, and the events that functions are invoked with."""

    def __init__(self, binary: Path):
        self.binary = binary
        self.helpers: dict[str, Function] = {}
        self.incidents = 0
        self.emulator = subprocess.Popen(
            [sys.executable, EMULATOR / "launch.py", INFRA / "template.yaml", "--data-only", "--until-stdin-closes"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self.set_up()
        except BaseException:
            self.end()
            raise

    def set_up(self):
        line = self.emulator.stdout.readline()
        if not line:
            raise SystemExit("the emulator did not start; see the errors above")
        ready = json.loads(line)
        self.outputs = ready["outputs"]
        # Without the file that moves the clock. Functions read it whenever they need the time, and AWS has no such file.
        self.aws = {name: value for name, value in ready["environment"].items() if not name.startswith("STATUSPULSE_DEV_")}
        self.sqs = boto3.client(
            "sqs", endpoint_url=ready["endpoint"], region_name=self.aws["AWS_REGION"],
            aws_access_key_id=self.aws["AWS_ACCESS_KEY_ID"], aws_secret_access_key=self.aws["AWS_SECRET_ACCESS_KEY"])
        self.receiver = Receiver()
        threading.Thread(target=self.receiver.serve_forever, daemon=True).start()
        self.operator = self.helper("registration").invoke({"operator_key": {}})[0]["key"]

    def environment(self, name: str) -> dict[str, str]:
        variables = {variable: self.outputs[output] for variable, output in (COMMON | FUNCTIONS[name][2]).items()}
        variables["STATUSPULSE_STACK"] = "coldstart"
        return self.aws | variables | {
            "STATUSPULSE_LADDER": "60s,300s,900s,3600s",
            "STATUSPULSE_PUBLIC_URL": "https://api.example.com",
            # Allows the receiver on loopback. A deployment never sets this.
            "STATUSPULSE_DEV_ALLOW_CIDR": "127.0.0.0/8"}

    def start(self, name: str) -> Function:
        return Function(self.binary, name, self.environment(name))

    def helper(self, name: str) -> Function:
        """Returns a function that is not measured, but prepares what the measured functions need."""
        if name not in self.helpers:
            self.helpers[name] = self.start(name)
        return self.helpers[name]

    def customer(self) -> str:
        """Returns the key of a new account with one webhook, so that undelivered events of one run do not slow the next."""
        registration = self.helper("registration")
        made = registration.invoke(api_call("POST", "/v1/accounts", self.operator, {"name": "Acme"}))[0]
        key = json.loads(made["body"])["key"]
        webhook = {"url": self.receiver.url, "events": ["incident_opened"]}
        made = json.loads(registration.invoke(api_call("POST", "/v1/webhooks", key, webhook))[0]["body"])
        if made["status"] != "active":
            raise SystemExit(f"the webhook is not active: {made}")
        return key

    def signed_in(self, key: str) -> str:
        """Returns the cookie of a browser that signed in with a link of this key."""
        bought = self.helper("registration").invoke(api_call("POST", "/v1/dashboard-sessions", key, {}))[0]
        link = json.loads(bought["body"])["url"].rpartition("?")[2]
        used = self.helper("dashboard").invoke(page("POST", "/dashboard/sign-in", "", link))[0]
        return used["cookies"][0].partition(";")[0]

    def event(self, key: str) -> dict:
        self.incidents += 1
        return api_call("POST", "/v1/events", key, {"payload": {
            "event_type": "incident_opened", "incident_id": f"INC-{self.incidents}", "monitor_name": "checkout-api-prod",
            "status": "investigating", "triggered_at": "2024-03-15T14:22:01Z", "details": {"latency_ms": 1240}}})

    def take_first_attempt(self) -> dict:
        url = self.outputs["FirstQueueUrl"]
        taken = self.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5).get("Messages")
        if not taken:
            raise SystemExit("fanout sent no message")
        self.sqs.delete_message(QueueUrl=url, ReceiptHandle=taken[0]["ReceiptHandle"])
        return message(url, taken[0]["Body"])

    def invocations(self, name: str):
        """Yields events one after the other. Each is prepared while the function sleeps."""
        nobody, no_webhook = "acc_01HS17VFS8E8W4T3VT3N9EWKT5", "whe_01HS17VFS8E8W4T3VT3N9EWKT5"
        key = self.customer() if name in ("dashboard", "fanout", "delivery") else self.operator
        cookie = self.signed_in(key) if name == "dashboard" else ""
        # Removes the messages that the measurement of fanout has left.
        self.sqs.purge_queue(QueueUrl=self.outputs["FirstQueueUrl"])
        for _ in range(1 + INVOCATIONS):
            match name:
                case "registration":
                    yield api_call("GET", "/v1/egress-ips", key)
                case "dashboard":
                    yield page("GET", "/dashboard/webhooks", cookie)
                case "fanout":
                    yield self.event(key)
                case "delivery":
                    self.helper("fanout").invoke(self.event(key))
                    yield self.take_first_attempt()
                case "pause":
                    body = {"kind": "notify", "account_id": nobody, "webhook_id": no_webhook, "notification": 7}
                    yield message(self.outputs["NotificationQueueUrl"], json.dumps(body))
                case "drain":
                    body = {"kind": "job", "account_id": nobody, "webhook_id": no_webhook, "generation": 1, "page": 0}
                    yield message(self.outputs["JobQueueUrl"], json.dumps(body))

    def end(self):
        for function in self.helpers.values():
            function.end()
        self.emulator.stdin.close()
        self.emulator.wait()


def measure(stage: Stage, name: str) -> tuple[str, list[str]]:
    """Returns a row of the table, and the missed targets."""
    binary_mb, zipped_mb = stage.binary.stat().st_size / 1e6, zipped_size(stage.binary) / 1e6
    starts = []
    for _ in range(STARTS):
        function = stage.start(name)
        starts.append((function.start_ms, function.start_cpu_ms))
        function.end()
    start_ms, start_cpu = medians(starts)

    function = stage.start(name)
    try:
        events = stage.invocations(name)
        event = next(events)
        taken = stage.receiver.taken
        _, first_ms, first_cpu = function.invoke(event)
        ticked = function.ticked_cpu_ms()
        later = [function.invoke(event)[1:] for event in events]
        later_ms, later_cpu = medians(later)
        mean_cpu = statistics.fmean(cpu for _, cpu in later)
        ticked_mean = (function.ticked_cpu_ms() - ticked) / INVOCATIONS
        peak_mb = function.peak_mb()
    finally:
        function.end()
    if name == "delivery" and stage.receiver.taken - taken != 1 + INVOCATIONS:
        raise SystemExit(f"{1 + INVOCATIONS} deliveries, but the receiver took {stage.receiver.taken - taken}")

    missed = [f"{name}: {what} {value:.2f} {unit}, the target is {most:g}" for what, value, unit, most in (
        ("CPU to the first poll", start_cpu, "ms", INIT_CPU_MS_MAX),
        ("binary", binary_mb, "MB", BINARY_MB_MAX),
        ("zipped", zipped_mb, "MB", ZIPPED_MB_MAX),
    ) if value > most]
    return (f"| {name} | {binary_mb:.1f} | {zipped_mb:.1f} | {start_ms:.0f} | {start_cpu:.1f} | {first_ms:.1f} | {first_cpu:.2f} "
            f"| {later_ms:.1f} | {later_cpu:.2f} | {mean_cpu:.2f} ({ticked_mean:.2f}) | {peak_mb:.0f} |"), missed


def paces(stage: Stage) -> tuple[str, list[str]]:
    """Measures the CPU time of a delivery without pauses between the messages, and in batches."""
    function = stage.start("delivery")
    try:
        records = [event["Records"][0] for event in stage.invocations("delivery")]
        singles, tens = records[1:101], records[101:201]
        function.invoke({"Records": records[:1]})
        cpu = function.cpu_ms()
        for record in singles:
            function.runtime.events.put({"Records": [record]})
        for _ in singles:
            function.check(function.runtime.answers.get(timeout=PATIENCE_SECONDS))
            function.wait_for_poll()
        back_to_back = (function.cpu_ms() - cpu) / len(singles)
        batches = [function.invoke({"Records": tens[at:at + 10]})[2] / 10 for at in range(0, len(tens), 10)]
    finally:
        function.end()
    in_tens = statistics.median(batches)
    missed = in_tens > DELIVERY_CPU_MS_MAX
    return (f"A delivery's CPU back to back: {back_to_back:.2f} ms; in batches of ten: {in_tens:.2f} ms.",
            [f"delivery: CPU in batches of ten {in_tens:.2f} ms, the target is {DELIVERY_CPU_MS_MAX:g}"] if missed else [])


def medians(rows: list[tuple]) -> list[float]:
    return [statistics.median(column) for column in zip(*rows)]


def zipped_size(binary: Path) -> int:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.write(binary, "bootstrap")
    return len(archive.getvalue())


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    stage = Stage(Path(sys.argv[1]).resolve())
    missed = []
    try:
        print("| function | binary MB | zipped MB | start ms | start CPU ms | first ms | first CPU ms | later ms | later CPU ms "
              "| its mean (by ticks) | peak MB |")
        print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
        for name in FUNCTIONS:
            row, misses = measure(stage, name)
            print(row, flush=True)
            missed += misses
        line, misses = paces(stage)
        print(f"\n{line}")
        missed += misses
    finally:
        stage.end()
    print(f"\nMedians of {STARTS} starts and {INVOCATIONS} later invocations. CPU is that of the whole process, including the SDK's "
          "work for calls\nto AWS (the emulator, plain HTTP) and to the Runtime API. Start: from exec to the first poll.")
    print("\nMissed targets:" if missed else "\nNo target was missed.")
    for line in missed:
        print(f"- {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
