"""What is changed in MiniStack, each change one function that says why.

They reach into internals of a project that releases several times a week. So the version is pinned, `replace` fails
loudly when a name is gone, and test_launch.py has a test for each change.
"""

import functools
import inspect
import json
import subprocess
import threading

TICK_SECONDS = 0.5
IDLE_POLL_SECONDS = 0.005


def replace(owner, name: str, value) -> None:
    """Sets an attribute that must already be there."""
    if not hasattr(owner, name):
        raise RuntimeError(f"{owner.__name__} has no {name} to patch: was MiniStack updated?")
    setattr(owner, name, value)


def look_more_often() -> None:
    """MiniStack looks for due schedules and timed rules every 10 seconds, and at the queues of functions not for 50 ms
    after it looked in vain."""
    from ministack.services import eventbridge, lambda_svc, scheduler

    replace(lambda_svc, "_ESM_IDLE_WAKE_GAP_SECONDS", IDLE_POLL_SECONDS)
    replace(scheduler, "_SCHEDULE_TICK_INTERVAL", TICK_SECONDS)
    replace(eventbridge, "_SCHEDULER_TICK_INTERVAL", TICK_SECONDS)


def invoke_without_stalls() -> None:
    """Takes two waits out of every invocation: Nagle's algorithm between Runtime API and bootstrap (40 ms), and up to
    50 ms of waiting for log lines of a function that logs nothing. A late line now shows up with the next
    invocation of the same process."""
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
    """Clients sign with the real time, the emulator's clock may be hours ahead: without this it would refuse them."""
    from ministack.core import sigv4

    replace(sigv4, "request_time_failure", lambda signature, now=None: None)


def accept_large_templates() -> None:
    """The expanded template is handed over in the request, where AWS takes 51,200 bytes. Deploying for real goes
    through S3, where the limit is 1 MB."""
    from ministack.services.cloudformation import helpers

    replace(helpers, "TEMPLATE_BODY_MAX_BYTES", 1_000_000)


def lose_no_messages() -> None:
    """One lock around everything that touches the messages of a queue.

    MiniStack answers requests on its event loop and polls for functions in threads, and both replace the list of
    messages by a filtered copy. Where both work on one queue, messages get lost or are handed out twice (of 4,000 in
    the test 62 and 364). That would look exactly like a fault of ours.
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
        # ReceiveMessage waits, so it takes the lock in its three steps below.
        if not inspect.iscoroutinefunction(handler):
            sqs._HANDLERS[action] = locked(handler)
            replace(sqs, handler.__name__, sqs._HANDLERS[action])
    for name in ("_expire_retained", "_dlq_sweep", "_collect_msgs"):
        replace(sqs, name, locked(getattr(sqs, name)))
    replace(eventbridge, "_dispatch_to_sqs", locked(eventbridge._dispatch_to_sqs))
    replace(lambda_svc, "_route_async_failure", locked(lambda_svc._route_async_failure))
    # It only hands batches to threads. With the lock held, a message is either in its queue or in a batch.
    replace(lambda_svc, "_poll_sqs", locked(lambda_svc._poll_sqs))


def retry_bus_events() -> None:
    """A rule invokes its function asynchronously: AWS tries again twice, then sends the event to the function's
    dead-letter queue. MiniStack does so for `lambda invoke`, but for rules it tries once and forgets."""
    from ministack.services import eventbridge, lambda_svc

    def dispatch(arn, payload):
        function, config, name = lambda_svc._get_func_record_for_ref(arn)
        if not function or not config:
            raise LookupError(f"rule target {name} does not exist")
        record = lambda_svc._execution_record_for_config(function, config)
        lambda_svc.invoke_async_with_retry(record, json.loads(payload))

    replace(eventbridge, "_dispatch_to_lambda", dispatch)


def run_bootstraps_in_group(group: int, environment: dict[str, str], hidden: frozenset[str]) -> None:
    """Bootstraps join a process group that the reaper ends (see processes.py), and get `environment` on top of what
    the template gives them. MiniStack's own settings (`hidden`) are none of their business."""
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    class SubprocessInGroup:
        """The module `subprocess` as lambda_runtime uses it."""

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
    """Functions get their code without a detour through S3."""
    from ministack.services import lambda_svc

    replace(lambda_svc, "_fetch_code_from_s3", lambda bucket, key, version_id=None: zips.get(key))
