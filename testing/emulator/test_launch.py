"""Tests of the launcher: one for each change to MiniStack, and for the launcher's own behaviour.

    python -m unittest -v test_launch.py

Most tests share one emulator. They wait for conditions, never for a fixed time: only `eventually` sleeps.
"""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

import boto3

HERE = Path(__file__).parent
TEMPLATE = HERE / "test_template.yaml"
DEADLINE_SECONDS = 15
HOUR_MS = 3_600_000


def eventually(condition, message="timed out waiting for a condition"):
    """Waits until `condition` returns a true value, and returns it."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(message)
        time.sleep(0.02)
    return value


class Emulator:
    """A running launcher, with helpers for tests."""

    def __init__(self, *arguments, template=TEMPLATE):
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        self.notes_file = folder / "notes"
        self.notes_file.touch()
        bootstraps = folder / "bootstraps"
        bootstraps.mkdir()
        for name in ("worker", "looper", "stranger"):
            script = bootstraps / name
            script.write_text(f"#!/bin/sh\nexec {shlex.join([sys.executable, str(HERE / 'test_stub.py')])}\n")
            script.chmod(0o755)
        code = [] if "--data-only" in arguments else [
            "--bootstraps", bootstraps, "--function-env", f"STATUSPULSE_DEV_STUB_NOTES={self.notes_file}"]
        # A pipe would fill up, because it is read only at the end.
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, HERE / "launch.py", template, "--until-stdin-closes", *code, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            # Settings of the caller that must not reach MiniStack or the functions.
            env=os.environ | {"TMPDIR": str(folder), "AWS_PROFILE": "none", "HTTP_PROXY": "http://127.0.0.1:9"})
        started = time.monotonic()
        line = self.process.stdout.readline()
        self.seconds_to_ready = time.monotonic() - started
        self.ready = json.loads(line) if line else None

    def stop(self):
        """Ends the launcher by closing its input. Returns its status and its stderr."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        # Returns only when no process is left that could write to it.
        self.process.stdout.read()
        self.process.stdout.close()
        status = self.process.wait(timeout=DEADLINE_SECONDS)
        self.folder.cleanup()
        with self.errors:
            self.errors.seek(0)
            return status, self.errors.read()

    def client(self, service):
        environment = self.ready["environment"]
        return boto3.client(
            service, endpoint_url=environment["AWS_ENDPOINT_URL"], region_name=environment["AWS_REGION"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"])

    def output(self, name):
        return self.ready["outputs"][name]

    def control(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(self.ready["control"] + path, data) as response:
            return response.read().decode()

    def functions(self):
        return json.loads(self.control("/functions"))

    def quiet(self):
        return json.loads(self.control("/work"))["quiet"]

    def advance(self, milliseconds):
        return json.loads(self.control("/clock", {"advance_ms": milliseconds}))["offset_ms"]

    def log(self, since=0):
        return [json.loads(line) for line in self.control(f"/log?since={since}").splitlines()]

    def notes(self, **wanted):
        notes = [json.loads(line) for line in self.notes_file.read_text().splitlines()]
        return [note for note in notes if wanted.items() <= note.items()]

    def invoke(self, function, event):
        response = self.client("lambda").invoke(
            FunctionName=self.output(f"{function}FunctionName"), Payload=json.dumps(event))
        return json.loads(response["Payload"].read())

    def call(self, function, service, operation, **arguments):
        """Makes a function call AWS with its role. Returns "ok" or the error code."""
        return self.invoke(function, {"do": "call", "service": service, "operation": operation, "arguments": arguments})

    def send(self, queue, body):
        self.client("sqs").send_message(QueueUrl=self.output(f"{queue}QueueUrl"), MessageBody=json.dumps(body))

    def receive(self, queue):
        answer = self.client("sqs").receive_message(
            QueueUrl=self.output(f"{queue}QueueUrl"), MessageSystemAttributeNames=["All"])
        return answer.get("Messages", [])


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A killed process whose parent has not waited for it yet is a zombie.
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def tearDownModule():
    if SharedEmulator.emulator is not None:
        SharedEmulator.emulator.stop()


class SharedEmulator(unittest.TestCase):
    emulator = None

    @classmethod
    def setUpClass(cls):
        if SharedEmulator.emulator is None:
            SharedEmulator.emulator = Emulator("--parameter", "Delay=900")
        if cls.emulator.ready is None:
            raise AssertionError(cls.emulator.stop()[1])


class Clock(SharedEmulator):
    def test_a_message_delayed_by_900_s_arrives_when_the_clock_is_moved(self):
        self.emulator.send("Delay", {})
        self.assertEqual(self.emulator.receive("Delay"), [])
        self.emulator.advance(899_000)
        self.assertEqual(self.emulator.receive("Delay"), [])
        self.emulator.advance(1_000)
        self.assertEqual(len(self.emulator.receive("Delay")), 1)

    def test_a_schedule_in_60_minutes_fires_when_the_clock_is_moved(self):
        at = datetime.now(timezone.utc) + timedelta(milliseconds=self.emulator.advance(0) + HOUR_MS)
        name = str(uuid.uuid4())
        self.emulator.client("scheduler").create_schedule(**schedule(self.emulator, name, at))
        self.emulator.advance(HOUR_MS - 60_000)
        self.assertEqual(self.emulator.receive("Late"), [])
        self.emulator.advance(60_000)
        message = eventually(lambda: self.emulator.receive("Late"))[0]
        self.assertEqual(message["Body"], name)

    def test_functions_see_the_offset_and_their_late_signatures_are_accepted(self):
        offset_ms = self.emulator.advance(HOUR_MS)
        self.assertEqual(self.emulator.invoke("Worker", {"do": "clock"}), offset_ms)
        self.assertEqual(put_item(self.emulator, "Worker"), "ok")

    def test_whoever_writes_the_file_moves_the_clock(self):
        offset_ms = self.emulator.advance(0) + 1_000
        Path(self.emulator.ready["environment"]["STATUSPULSE_DEV_CLOCK_FILE"]).write_text(str(offset_ms))
        eventually(lambda: json.loads(self.emulator.control("/clock"))["offset_ms"] == offset_ms)


class Permissions(SharedEmulator):
    def test_a_function_may_do_what_its_role_allows_and_nothing_else(self):
        self.assertEqual(put_item(self.emulator, "Worker"), "ok")
        self.assertEqual(put_item(self.emulator, "Stranger"), "AccessDeniedException")
        key = {"pk": {"S": "a"}, "sk": {"S": "b"}}
        denied = self.emulator.call(
            "Worker", "dynamodb", "delete_item", TableName=self.emulator.output("TableName"), Key=key)
        self.assertEqual(denied, "AccessDeniedException")

    def test_policies_see_calls_with_tls(self):
        """The policy of this queue refuses all others."""
        message = {"QueueUrl": self.emulator.output("DelayQueueUrl"), "MessageBody": "{}"}
        self.assertEqual(self.emulator.call("Worker", "sqs", "send_message", **message), "ok")
        self.emulator.client("sqs").purge_queue(QueueUrl=message["QueueUrl"])

    def test_sending_a_batch_needs_the_permission_to_send(self):
        batch = {"QueueUrl": self.emulator.output("DeadQueueUrl"), "Entries": [{"Id": "a", "MessageBody": "{}"}]}
        self.assertEqual(self.emulator.call("Worker", "sqs", "send_message_batch", **batch), "ok")
        self.assertIn("AccessDenied", self.emulator.call("Stranger", "sqs", "send_message_batch", **batch))

    def test_a_schedule_needs_the_right_to_pass_the_role_and_a_role_that_may_send(self):
        at = datetime.now(timezone.utc) + timedelta(days=30)
        good = schedule(self.emulator, str(uuid.uuid4()), at)
        self.assertEqual(
            self.emulator.call("Stranger", "scheduler", "create_schedule", **good), "AccessDeniedException")
        self.assertEqual(self.emulator.call("Worker", "scheduler", "create_schedule", **good), "ok")
        wrong_queue = schedule(self.emulator, str(uuid.uuid4()), at, target="WorkQueueArn")
        self.assertEqual(
            self.emulator.call("Worker", "scheduler", "create_schedule", **wrong_queue), "AccessDeniedException")

    def test_a_stack_that_lacks_what_ministack_does_not_ask_for_is_refused(self):
        text = TEMPLATE.read_text()
        for removed, complaint in (
            ('"sqs:DeleteMessage", ', "lacks sqs:DeleteMessage"),
            ("${HttpApi}/*/$default", "route $default may not invoke"),
        ):
            with self.subTest(complaint), tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                file.write(text.replace(removed, "x" if "Api" in removed else ""))
                file.flush()
                emulator = Emulator(template=file.name)
                status, errors = emulator.stop()
                self.assertEqual(status, 1)
                self.assertIn(complaint, errors)


class RequestLog(SharedEmulator):
    def entries(self, **wanted):
        return [entry for entry in self.emulator.log() if wanted.items() <= entry.items()]

    def setUp(self):
        self.emulator.control("/purge-log", {})

    def test_names_the_function_the_resource_the_permission_and_the_outcome(self):
        put_item(self.emulator, "Worker")
        put_item(self.emulator, "Stranger")
        allowed, denied = self.entries(service="dynamodb", action="PutItem")
        self.assertEqual((allowed["function"], allowed["resource"], allowed["outcome"]), ("worker", "Table", "ok"))
        self.assertEqual(allowed["permissions"], ["dynamodb:PutItem"])
        self.assertEqual((denied["function"], denied["outcome"]), ("stranger", "denied"))
        self.emulator.send("Work", {})
        sent, = self.entries(service="sqs", action="SendMessage")
        self.assertEqual((sent["function"], sent["resource"]), ("harness", "WorkQueue"))

    def test_counts_on_from_where_it_was_read_or_purged(self):
        self.emulator.client("sqs").list_queues()
        first = self.emulator.log()[-1]["n"]
        self.emulator.control("/purge-log", {})
        self.assertEqual(self.emulator.log(), [])
        self.emulator.client("sqs").list_queues()
        self.emulator.client("sqs").list_queues()
        self.assertEqual([entry["n"] for entry in self.emulator.log()], [first + 1, first + 2])
        self.assertEqual([entry["n"] for entry in self.emulator.log(since=first + 2)], [first + 2])

    def test_tells_the_request_units_of_the_database(self):
        dynamodb, table = self.emulator.client("dynamodb"), self.emulator.output("TableName")
        key = {"pk": {"S": str(uuid.uuid4())}, "sk": {"S": "x"}}
        large = key | {"text": {"S": "x" * 5_000}}

        def units(name):
            value = self.emulator.log()[-1].get(name)
            return value

        dynamodb.put_item(TableName=table, Item=large)
        self.assertEqual(units("write_units"), 5)
        dynamodb.get_item(TableName=table, Key=key)
        self.assertEqual(units("read_units"), 1)
        dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True)
        self.assertEqual(units("read_units"), 2)
        dynamodb.query(TableName=table, KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": key["pk"]})
        self.assertEqual(units("read_units"), 1)
        small = {"pk": key["pk"], "sk": {"S": "small"}}
        dynamodb.transact_write_items(TransactItems=[
            {"Put": {"TableName": table, "Item": small}}, {"Delete": {"TableName": table, "Key": key}}])
        self.assertEqual(units("write_units"), 2 + 10)
        with self.assertRaises(dynamodb.exceptions.ConditionalCheckFailedException):
            dynamodb.put_item(TableName=table, Item=small, ConditionExpression="attribute_not_exists(pk)")
        self.assertEqual(units("write_units"), 1)
        self.assertEqual(self.emulator.log()[-1]["outcome"], "ConditionalCheckFailedException")


class Functions(SharedEmulator):
    def test_answer_quickly_when_warm(self):
        """Without the patches every invocation waits for 50 ms for logs, and longer because of Nagle's algorithm."""
        client = self.emulator.client("lambda")
        took = []
        for _ in range(20):
            started = time.monotonic()
            client.invoke(FunctionName=self.emulator.output("WorkerFunctionName"), Payload=b"{}")
            took.append(time.monotonic() - started)
        self.assertLess(min(took), 0.04)

    def test_get_the_environment_of_the_template_and_of_the_options_and_no_more(self):
        environment = self.emulator.invoke("Worker", {"do": "environment"})
        self.assertEqual(environment["FROM_TEMPLATE"], self.emulator.output("TableName"))
        self.assertEqual(environment["AWS_ENDPOINT_URL"], self.emulator.ready["endpoint"])
        self.assertEqual(environment["STATUSPULSE_DEV_STUB_NOTES"], str(self.emulator.notes_file))
        self.assertTrue(environment["AWS_ACCESS_KEY_ID"].startswith("ASIA"))
        for name in ("AUTH", "GATEWAY_PORT", "AWS_PROFILE", "HTTP_PROXY"):
            self.assertNotIn(name, environment)

    def test_are_called_through_a_plain_address(self):
        with urllib.request.urlopen(self.emulator.ready["api"] + "/v1/a%20b/?x=1") as response:
            self.assertEqual(json.load(response), {"rawPath": "/v1/a b/", "query": "x=1"})

    def test_only_the_failed_messages_of_a_batch_come_back(self):
        good, bad = str(uuid.uuid4()), str(uuid.uuid4())
        sqs, queue = self.emulator.client("sqs"), self.emulator.output("WorkQueueUrl")
        sqs.send_message_batch(QueueUrl=queue, Entries=[
            {"Id": "good", "MessageBody": json.dumps({"id": good})},
            {"Id": "bad", "MessageBody": json.dumps({"id": bad, "do": "fail", "once": True})}])
        eventually(lambda: self.received(bad) == [1] and self.emulator.quiet())
        self.emulator.advance(120_000)
        eventually(lambda: self.received(bad) == [1, 2])
        self.assertEqual(self.received(good), [1])

    def test_a_message_comes_back_when_its_function_is_killed(self):
        message = str(uuid.uuid4())
        self.emulator.send("Work", {"id": message, "do": "sleep", "seconds": 15, "once": True})
        eventually(lambda: self.received(message) == [1])
        self.assertFalse(self.emulator.quiet())
        busy, = [function for function in self.emulator.functions() if function["busy"]]
        self.assertEqual(busy["function"], "worker")
        os.kill(busy["pid"], signal.SIGKILL)
        eventually(self.emulator.quiet)
        self.emulator.advance(119_000)
        self.assertEqual(self.received(message), [1])
        self.emulator.advance(1_000)
        eventually(lambda: self.received(message) == [1, 2])

    def test_a_failing_function_gets_an_event_of_the_bus_three_times(self):
        event = str(uuid.uuid4())
        self.emulator.client("events").put_events(Entries=[{
            "EventBusName": "test-bus", "Source": "test", "DetailType": "t",
            "Detail": json.dumps({"id": event, "do": "raise"})}])
        eventually(lambda: len(self.emulator.notes(kind="bus", id=event)) == 3)

    def test_are_invoked_sixteen_times_in_one_chain_of_messages_unless_they_allow_loops(self):
        def chained(queue, hops):
            message = str(uuid.uuid4())
            event = {"id": message, "do": "chain", "queue": self.emulator.output(f"{queue}QueueUrl"), "left": hops}
            self.emulator.send(queue, event)
            eventually(lambda: len(self.received(message)) >= 16 and self.emulator.quiet())
            return len(self.received(message))

        # The refused message would be in one batch with those of other tests.
        self.addCleanup(
            self.emulator.client("sqs").purge_queue, QueueUrl=self.emulator.output("WorkQueueUrl"))
        self.assertEqual(chained("Loop", 20), 21)
        self.assertEqual(chained("Work", 15), 16)
        self.assertEqual(chained("Work", 20), 16)
        metrics = self.emulator.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/Lambda", MetricName="RecursiveInvocationsDropped", Period=3600, Statistics=["Sum"],
            Dimensions=[{"Name": "FunctionName", "Value": self.emulator.output("WorkerFunctionName")}],
            StartTime=datetime(2020, 1, 1), EndTime=datetime(2100, 1, 1))
        self.assertEqual(sum(point["Sum"] for point in metrics["Datapoints"]), 1)

    def received(self, message):
        """Returns the receive counts with which functions got the message."""
        notes = self.emulator.notes(kind="message")
        return [note["receive_count"] for note in notes if note["body"].get("id") == message]


class DeadLetters(SharedEmulator):
    def test_of_a_queue_go_back_to_it_and_those_that_came_otherwise_stay(self):
        sqs = self.emulator.client("sqs")
        arn = self.emulator.output("WorkQueueArn")
        dead = sqs.get_queue_attributes(
            QueueUrl=self.emulator.output("DeadQueueUrl"), AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        message = str(uuid.uuid4())
        self.emulator.send("Work", {"id": message, "do": "fail"})
        for _ in range(6):
            eventually(self.emulator.quiet)
            self.emulator.advance(121_000)
        eventually(lambda: len(self.notes(message)) == 5)
        self.emulator.send("Dead", {"id": "from nowhere"})
        sqs.start_message_move_task(SourceArn=dead)
        eventually(lambda: len(self.notes(message)) == 6)
        self.assertEqual([json.loads(left["Body"])["id"] for left in self.emulator.receive("Dead")], ["from nowhere"])
        with self.assertRaisesRegex(sqs.exceptions.ClientError, "must be configured as a Dead Letter Queue"):
            sqs.start_message_move_task(SourceArn=self.emulator.output("LateQueueArn"), DestinationArn=arn)

    def notes(self, message):
        return [note for note in self.emulator.notes(kind="message") if note["body"].get("id") == message]


class Queues(unittest.TestCase):
    def test_lose_nothing_while_requests_and_mappings_work_on_the_same_one(self):
        """Runs in a separate process, with thread switches between almost any two steps. One thread stands for
        MiniStack's event loop, the other for its poller."""
        program = """
import asyncio, os, sys, threading
os.environ.update(AUTH="true", IOT_MTLS_ENABLED="0", LOG_LEVEL="ERROR")
import patches
from ministack.services import sqs
patches.lose_no_messages()
sys.setswitchinterval(1e-6)
sqs._HANDLERS["CreateQueue"]({"QueueName": "q"}, "")
url, sent, got = sqs._queue_url("q"), 2000, []
def requests():
    for n in range(sent):
        sqs._HANDLERS["SendMessage"]({"QueueUrl": url, "MessageBody": str(n)}, url)
        answer = asyncio.run(sqs._HANDLERS["ReceiveMessage"]({"QueueUrl": url}, url))
        for message in answer.get("Messages", []):
            got.append(message["Body"])
            sqs._HANDLERS["DeleteMessage"]({"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}, url)
client = threading.Thread(target=requests)
client.start()
while client.is_alive() or sqs._queues[url]["messages"]:
    for message in sqs._receive_messages_for_esm(url, 10):
        got.append(message["body"])
        sqs._delete_messages_for_esm(url, {message["receipt_handle"]})
print(sorted(map(int, got)) == list(range(sent)))
"""
        result = subprocess.run([sys.executable, "-c", program], cwd=HERE, capture_output=True, text=True, timeout=30)
        self.assertEqual(result.stdout, "True\n", result.stderr)


class Launching(unittest.TestCase):
    def test_data_only_has_the_stores_and_nothing_that_runs(self):
        emulator = Emulator("--data-only")
        try:
            self.assertLess(emulator.seconds_to_ready, 10)
            self.assertIsNone(emulator.ready["api"])
            self.assertNotIn("WorkerFunctionName", emulator.ready["outputs"])
            self.assertEqual(emulator.client("lambda").list_functions()["Functions"], [])
            self.assertIn("ScheduleRoleArn", emulator.ready["outputs"])
            item = {"pk": {"S": "a"}, "sk": {"S": "b"}}
            dynamodb, table = emulator.client("dynamodb"), emulator.output("TableName")
            dynamodb.put_item(TableName=table, Item=item)
            self.assertEqual(dynamodb.get_item(TableName=table, Key=item)["Item"], item)
        finally:
            self.assertEqual(emulator.stop()[0], 0)

    def test_takes_templates_above_the_limit_of_a_request(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(TEMPLATE.read_text() + f"Metadata: {{Padding: {'x' * 60_000}}}\n")
            file.flush()
            emulator = Emulator("--data-only", template=file.name)
            status, errors = emulator.stop()
        self.assertIsNotNone(emulator.ready, errors)

    def test_says_why_a_stack_does_not_come_up(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write("Resources: {Bad: {Type: AWS::SQS::Queue, Properties: {DelaySeconds: 901}}}\n")
            file.flush()
            emulator = Emulator("--data-only", template=file.name)
            status, errors = emulator.stop()
        self.assertEqual((emulator.ready, status), (None, 1))
        self.assertIn("Bad: Invalid value for the parameter DelaySeconds", errors)

    def test_says_which_binary_is_missing(self):
        with tempfile.TemporaryDirectory() as empty:
            result = subprocess.run(
                [sys.executable, HERE / "launch.py", TEMPLATE, "--bootstraps", empty], capture_output=True, text=True)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertRegex(result.stderr, "(worker|looper|stranger) is missing")

    def test_leaves_nothing_behind_however_it_ends(self):
        endings = {
            "SIGTERM": lambda process: process.terminate(),
            "SIGKILL": lambda process: process.kill(),
            "closed input": lambda process: process.stdin.close(),
        }
        for name, end in endings.items():
            with self.subTest(name):
                emulator = Emulator()
                emulator.invoke("Worker", {})
                pids = [function["pid"] for function in emulator.functions()]
                self.assertTrue(pids and all(map(alive, pids)))
                state = Path(emulator.ready["environment"]["STATUSPULSE_DEV_CLOCK_FILE"]).parent
                self.assertTrue(state.is_dir())
                end(emulator.process)
                status = emulator.process.wait(timeout=DEADLINE_SECONDS)
                self.assertEqual(status, -signal.SIGKILL if name == "SIGKILL" else 0)
                eventually(lambda: not any(map(alive, pids)))
                eventually(lambda: not state.exists())
                emulator.stop()


def schedule(emulator, name, at, target="LateQueueArn"):
    return {
        "Name": name, "GroupName": emulator.output("ScheduleGroupName"), "FlexibleTimeWindow": {"Mode": "OFF"},
        "ScheduleExpression": f"at({at:%Y-%m-%dT%H:%M:%S})", "ActionAfterCompletion": "DELETE",
        "Target": {"Arn": emulator.output(target), "RoleArn": emulator.output("ScheduleRoleArn"), "Input": name}}


def put_item(emulator, function):
    item = {"pk": {"S": "a"}, "sk": {"S": "b"}}
    return emulator.call(function, "dynamodb", "put_item", TableName=emulator.output("TableName"), Item=item)


if __name__ == "__main__":
    unittest.main()
