"""The changes to MiniStack: one function per change, which says why.

They use internals of a project that releases several times a week. So the version is pinned, `replace` fails if a name
no longer exists, and test_launch.py has a test for each change.
"""

import functools
import inspect
import json
import subprocess
import threading

TICK_SECONDS = 0.5
IDLE_POLL_SECONDS = 0.005


def replace(owner, name: str, value) -> None:
    """Replaces an attribute, which must exist."""
    if not hasattr(owner, name):
        raise RuntimeError(f"cannot patch {name} of {owner.__name__}: it does not exist; was MiniStack updated?")
    setattr(owner, name, value)


def look_more_often() -> None:
    """Checks schedules and timed rules more often than every 10 seconds, and the queues of functions sooner than 50 ms
    after they were empty."""
    from ministack.services import eventbridge, lambda_svc, scheduler

    replace(lambda_svc, "_ESM_IDLE_WAKE_GAP_SECONDS", IDLE_POLL_SECONDS)
    replace(scheduler, "_SCHEDULE_TICK_INTERVAL", TICK_SECONDS)
    replace(eventbridge, "_SCHEDULER_TICK_INTERVAL", TICK_SECONDS)


def invoke_without_stalls() -> None:
    """Removes two waits from every invocation: Nagle's algorithm between Runtime API and bootstrap (40 ms), and up to
    50 ms of waiting for log lines from a function that logs nothing. A late line now appears with the next invocation
    of the same process."""
    from ministack.core import lambda_runtime

    worker = lambda_runtime.ProvidedWorker
    build = worker._build_handler_class

    def build_without_delay(self, generation, pending):
        handler = build(self, generation, pending)
        handler.disable_nagle_algorithm = True
        return handler

    replace(worker, "_build_handler_class", build_without_delay)
    drain = functools.partialmethod(worker._drain_stderr_bounded, first_line_wait=0.003, idle_confirm=0.002)
    replace(worker, "_drain_stderr_bounded", drain)


def accept_signatures_of_any_time() -> None:
    """Accepts any time of a signature, because clients sign with the real time and the emulator's clock may be hours
    ahead."""
    from ministack.core import sigv4

    replace(sigv4, "request_time_failure", lambda signature, now=None: None)


def accept_large_templates() -> None:
    """Accepts the expanded template in the request, where the limit of AWS is 51,200 bytes. Real deployments use S3,
    where the limit is 1 MB."""
    from ministack.services.cloudformation import helpers

    replace(helpers, "TEMPLATE_BODY_MAX_BYTES", 1_000_000)


def lose_no_messages() -> None:
    """Puts one lock around all access to the messages of queues.

    MiniStack answers requests on its event loop and polls for functions in threads. Both replace the list of messages
    with a filtered copy. If both use the same queue, messages are lost or delivered twice (62 and 364 of 4,000 in the
    test). This would look like a defect of our code.
    """
    from ministack.services import eventbridge, lambda_svc, sqs

    lock = threading.RLock()

    def locked(function):
        @functools.wraps(function)
        def call(*args, **kwargs):
            with lock:
                return function(*args, **kwargs)
        return call

    replace(sqs, "_queues_lock", lock)
    for action, handler in list(sqs._HANDLERS.items()):
        # ReceiveMessage waits, so its three steps below take the lock instead.
        if not inspect.iscoroutinefunction(handler):
            sqs._HANDLERS[action] = locked(handler)
            replace(sqs, handler.__name__, sqs._HANDLERS[action])
    for name in ("_expire_retained", "_dlq_sweep", "_collect_msgs"):
        replace(sqs, name, locked(getattr(sqs, name)))
    replace(eventbridge, "_dispatch_to_sqs", locked(eventbridge._dispatch_to_sqs))
    replace(lambda_svc, "_route_async_failure", locked(lambda_svc._route_async_failure))
    # This only passes batches to threads. With the lock, a message is either in its queue or in a batch.
    replace(lambda_svc, "_poll_sqs", locked(lambda_svc._poll_sqs))


def retry_bus_events() -> None:
    """Retries the events of rules. A rule invokes its function asynchronously: AWS retries twice, then sends the event
    to the function's failure destination. MiniStack does so for `lambda invoke`, but tries a rule's event only once."""
    from ministack.services import eventbridge, lambda_svc

    def dispatch(arn, payload):
        function, config, name = lambda_svc._get_func_record_for_ref(arn)
        if not function or not config:
            raise LookupError(f"rule target {name} does not exist")
        record = lambda_svc._execution_record_for_config(function, config)
        lambda_svc.invoke_async_with_retry(record, json.loads(payload))

    replace(eventbridge, "_dispatch_to_lambda", dispatch)


def count_as_tls() -> None:
    """Lets policies see calls as calls with TLS, as all calls to AWS are. Here they are plain, on loopback."""
    from ministack.core import iam_evaluator

    resolve = iam_evaluator._resolve_condition_key

    def resolve_as_tls(key, context):
        return "true" if key.lower() == "aws:securetransport" else resolve(key, context)

    replace(iam_evaluator, "_resolve_condition_key", resolve_as_tls)


def move_dead_letters() -> None:
    """Adds StartMessageMoveTask, which MiniStack lacks. As in SQS, the source must be the dead-letter queue of another
    queue. Each message goes to `DestinationArn`, or to the queue that it came from. Without either it stays."""
    from ministack.services import sqs

    def start(data, _url):
        with sqs._queues_lock:
            return move(data["SourceArn"], data.get("DestinationArn"))

    def move(source, destination):
        queues = {queue["attributes"]["QueueArn"]: queue for queue in sqs._queues.values()}
        policies = [json.loads(queue["attributes"].get("RedrivePolicy") or "{}") for queue in queues.values()]
        if source not in [policy.get("deadLetterTargetArn") for policy in policies]:
            raise sqs._Err("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.")
        stay = []
        for message in queues[source]["messages"]:
            target = destination or message["sys"].get("DeadLetterQueueSourceArn")
            if target in queues:
                moved = message | {"receive_count": 0, "receipt_handle": None, "first_receive_at": None}
                queues[target]["messages"].append(moved)
            else:
                stay.append(message)
        queues[source]["messages"] = stay
        sqs.esm_wake.set()
        return {"TaskHandle": source}

    if "StartMessageMoveTask" in sqs._HANDLERS:
        raise RuntimeError("MiniStack has StartMessageMoveTask now: remove this change")
    sqs._HANDLERS["StartMessageMoveTask"] = start


def run_bootstraps_in_group(group: int, environment: dict[str, str], hidden: frozenset[str]) -> None:
    """Starts bootstraps in a process group that the reaper ends (see processes.py), with `environment` in addition to
    the template's variables, and without MiniStack's own settings (`hidden`)."""
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    class SubprocessInGroup:
        """Replaces the module `subprocess` in lambda_runtime."""

        def __getattr__(self, name):
            return getattr(subprocess, name)

        def Popen(self, *args, **kwargs):
            return subprocess.Popen(*args, process_group=group, **kwargs)

    build = lambda_svc._provided_worker_env

    def build_environment(config, code_dir, port):
        variables = build(config, code_dir, port)
        return {name: value for name, value in variables.items() if name not in hidden} | environment

    replace(lambda_runtime, "subprocess", SubprocessInGroup())
    replace(lambda_svc, "_provided_worker_env", build_environment)


def read_code_from(zips: dict[str, bytes]) -> None:
    """Gives functions their code without S3."""
    from ministack.services import lambda_svc

    replace(lambda_svc, "_fetch_code_from_s3", lambda bucket, key, version_id=None: zips.get(key))
