#!/usr/bin/env python3
"""Runs the stack of a SAM template on this machine, on MiniStack, for the tests and for `make aws-local`.

    launch.py TEMPLATE --bootstraps DIR [--parameter K=V]... [--function-env K=V]... [--until-stdin-closes]
    launch.py TEMPLATE --data-only

Prints one JSON line when the stack is ready, then runs until SIGTERM, SIGINT, or the end of its input.
README.md describes the changes to MiniStack.
"""

import argparse
import json
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

import processes
import stack
from clock import Clock

REGION = "us-east-1"
# For MiniStack this is the key of the account's root user, which has all permissions.
HARNESS_KEY = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
CLOCK_FILE_VARIABLE = "STATUSPULSE_DEV_CLOCK_FILE"
# The variables of the caller that MiniStack and the functions inherit: no AWS settings, no proxies.
INHERITED = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")
INHERITED_PREFIXES = ("STATUSPULSE_DEV_", "RUST_")


def main() -> int:
    options = parse_options()
    answer_to = keep_output_clean()
    # Absolute, because functions run in other folders.
    state = Path(options.state or tempfile.mkdtemp(prefix="statuspulse-emulator-")).resolve()
    state.mkdir(parents=True, exist_ok=True)
    # Before any thread starts, because it forks.
    reaper = processes.Reaper(delete=None if options.state else str(state))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if options.until_stdin_closes:
        threading.Thread(target=stop_when_input_ends, args=(stop,), daemon=True).start()
    status = 0
    try:
        ready = start(options, state, reaper, stop)
        answer_to.write(json.dumps(ready) + "\n")
        answer_to.flush()
        stop.wait()
    except stack.DeployError as error:
        print(f"launch.py: {error}", file=sys.stderr)
        status = 1
    except Exception:
        traceback.print_exc()
        status = 1
    reaper.reap()
    if not options.state:
        shutil.rmtree(state, ignore_errors=True)
    # Does not wait for MiniStack's threads, which have nothing to save.
    sys.stderr.flush()
    os._exit(status)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("template", type=Path)
    parser.add_argument("--bootstraps", type=Path, metavar="DIR", help="folder with the functions' binaries")
    parser.add_argument("--data-only", action="store_true",
                        help="deploy only tables, queues, bus, roles, keys and secrets")
    parser.add_argument("--parameter", type=pair, action="append", default=[], metavar="K=V",
                        help="a parameter of the template; {api} is replaced with the base URL of the HTTP API")
    parser.add_argument("--function-env", type=pair, action="append", default=[], metavar="K=V",
                        help="an environment variable for all functions, in addition to those of the template")
    parser.add_argument("--port", type=int, default=0, help="port of the AWS endpoint (default: a free port)")
    parser.add_argument("--state", metavar="DIR",
                        help="folder for the state, kept at the end (default: a temporary folder, deleted at the end)")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when standard input is closed")
    parser.add_argument("--log-level", default="WARNING", help="log level of MiniStack, which logs to stderr")
    options = parser.parse_args()
    if not options.data_only and not options.bootstraps:
        parser.error("give --bootstraps or --data-only")
    return options


def pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not K=V")
    return name, value


def keep_output_clean():
    """Reserves stdout for the ready line. Everything else that is printed goes to stderr."""
    answer_to = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answer_to


def stop_when_input_ends(stop: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    stop.set()


def start(options, state: Path, reaper: processes.Reaper, stop: threading.Event) -> dict:
    """Starts MiniStack and the control endpoint, deploys the stack, and returns the content of the ready line."""
    endpoint_socket, api_socket = listen(options.port), listen(0)
    port = endpoint_socket.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    clock = Clock(state / "clock")
    hidden = settle_environment(state, port, options.log_level)
    clock.install()
    # Hides a warning at every start that asymmetric keys need another package. We have no such keys.
    logging.getLogger("kms").setLevel(logging.ERROR)

    # These import MiniStack, which reads its settings and binds the clock at import.
    import control
    import loops
    import patches
    import permissions
    import request_log

    log = request_log.RequestLog()
    function_env = {CLOCK_FILE_VARIABLE: str(clock.file), "AWS_ENDPOINT_URL": endpoint} | dict(options.function_env)
    patches.look_more_often()
    patches.invoke_without_stalls()
    patches.accept_signatures_of_any_time()
    patches.accept_large_templates()
    patches.count_as_tls()
    patches.lose_no_messages()
    patches.move_dead_letters()
    patches.retry_bus_events()
    patches.run_bootstraps_in_group(reaper.group, function_env, hidden)
    loops.count_invocations(patches.replace)
    permissions.name_schedules_by_their_group(patches.replace)
    permissions.name_batches_by_their_calls(patches.replace)
    permissions.check_passed_roles(patches.replace)
    request_log.install(log, patches.replace)
    api = ApiAddress(api_socket)
    serve_in_background(endpoint_socket, api, stop)

    controller = control.ControlServer(
        log, clock, functions=lambda: running_functions(log), work=work_at_hand,
        advance=lambda milliseconds: advance(clock, milliseconds), emit=emit)
    threading.Thread(target=controller.serve_forever, daemon=True).start()

    outputs = deploy(options, endpoint, log, api, stop)
    return {
        "endpoint": endpoint,
        "control": f"http://127.0.0.1:{controller.server_address[1]}",
        "api": api.address if api.api_id else None,
        "outputs": outputs,
        "granted": [] if options.data_only else stack.granted(stack.load(options.template)),
        "environment": HARNESS_KEY | {
            "AWS_ENDPOINT_URL": endpoint, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true", CLOCK_FILE_VARIABLE: str(clock.file)},
    }


def listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


def settle_environment(state: Path, port: int, log_level: str) -> frozenset[str]:
    """Sets the environment for MiniStack. Returns the names of its settings, which are hidden from the functions."""
    kept = {name: value for name, value in os.environ.items()
            if name in INHERITED or name.startswith(INHERITED_PREFIXES)}
    settings = {
        "GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "MINISTACK_HOST": "localhost",
        "MINISTACK_REGION": REGION, "AUTH": "true", "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0",
        "LAMBDA_EXECUTOR": "local", "DOCKER_HOST": f"unix://{state}/no-docker", "LOG_LEVEL": log_level,
        "STATE_DIR": str(state / "state"), "S3_DATA_DIR": str(state / "s3"), "AWS_EC2_METADATA_DISABLED": "true",
        "LAMBDA_ACCOUNT_CONCURRENCY": "1000", "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.5",
    }
    os.environ.clear()
    os.environ.update(kept | settings | {"TMPDIR": str(state)})
    tempfile.tempdir = str(state)
    return frozenset(settings)


class ApiAddress:
    """Serves the HTTP API on its own port, so that any HTTP client can call it at a plain address.

    MiniStack expects a host name that few resolvers know, or a path that begins with the API's id.
    """

    def __init__(self, listener: socket.socket):
        self.listener = listener
        self.port = listener.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        # Set when the stack is ready, if it has an API.
        self.api_id = None

    def router(self, ministack):
        async def route(scope, receive, send):
            if scope["type"] == "http" and scope["server"][1] == self.port:
                prefix = f"/_aws/execute-api/{self.api_id}/$default"
                scope = {**scope, "path": prefix + scope["path"], "raw_path": prefix.encode() + scope["raw_path"]}
            await ministack(scope, receive, send)
        return route


def serve_in_background(endpoint_socket: socket.socket, api: ApiAddress, stop: threading.Event) -> None:
    import asyncio

    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from ministack.app import app

    config = Config()
    config.bind = [f"fd://{endpoint_socket.detach()}", f"fd://{api.listener.detach()}"]
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"

    async def forever():
        await asyncio.Event().wait()

    def run():
        try:
            asyncio.run(serve(api.router(app), config, shutdown_trigger=forever))
        finally:
            stop.set()

    threading.Thread(target=run, daemon=True, name="ministack").start()


def deploy(options, endpoint: str, log, api: ApiAddress, stop: threading.Event) -> dict[str, str]:
    import boto3

    import loops
    import patches
    import permissions

    # The template cannot compute the address of the emulated API, so a parameter can refer to it: PublicUrl={api}.
    parameters = {name: value.replace("{api}", api.address) for name, value in options.parameter}
    template = stack.load(options.template)
    if options.data_only:
        expanded = stack.data_only(template)
    else:
        patches.read_code_from(stack.zips(template, options.bootstraps))
        expanded = stack.expand(stack.with_local_code(template), parameters, REGION)
    session = boto3.Session(
        region_name=REGION, aws_access_key_id=HARNESS_KEY["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=HARNESS_KEY["AWS_SECRET_ACCESS_KEY"])
    cloudformation = session.client("cloudformation", endpoint_url=endpoint)
    stack.deploy(cloudformation, expanded, parameters, stop.is_set)
    if lines := permissions.missing():
        raise stack.DeployError("the stack lacks permissions that AWS requires\n  " + "\n  ".join(lines))

    physical_ids = {}
    names = {} if options.data_only else stack.names(template)
    for resource in stack.resources(cloudformation):
        logical, physical = resource["LogicalResourceId"], resource["PhysicalResourceId"]
        physical_ids[logical] = physical
        # The physical id of a queue is its URL, but IAM uses its name.
        log.logical_names[physical.rpartition("/")[2]] = logical
        if logical in names:
            log.function_names[physical] = names[logical]
        if resource["ResourceType"] == "AWS::ApiGatewayV2::Api":
            api.api_id = physical
    loops.allow_loops(session.client("lambda", endpoint_url=endpoint), expanded, physical_ids)
    outputs = stack.outputs(cloudformation)
    # Tests do not count the requests of the deployment.
    log.purge()
    return outputs


def running_functions(log) -> list[dict]:
    from ministack.core import lambda_runtime

    with lambda_runtime._lock:
        workers = [worker for pool in lambda_runtime._workers.values() for worker in pool]
    # Other threads may set `_proc` to None at any moment.
    running = [(worker, process) for worker in workers if (process := worker._proc) and process.poll() is None]
    return [{"function": log.function_names.get(worker.func_name, worker.func_name), "pid": process.pid,
             "busy": worker._current_request_id is not None} for worker, process in running]


def work_at_hand() -> dict:
    """Describes the work in progress, which needs no further move of the clock."""
    from ministack.services import lambda_svc, sqs

    with sqs._queues_lock:
        now = time.time()
        queues = [sqs._queue_by_arn(mapping["EventSourceArn"]) for mapping in lambda_svc._esms.values()]
        messages = sum(message["visible_at"] <= now for queue in queues if queue for message in queue["messages"])
        batches = sum(lambda_svc._esm_inflight.values())
    executions, _ = lambda_svc.executions_in_flight()
    return {"quiet": not (messages or batches or executions), "messages": messages, "batches": batches,
            "executions": executions}


def emit(event):
    """Puts an event of an AWS service on the default bus. No caller may put one with such a source."""
    from ministack.services import eventbridge
    status, _, body = eventbridge._put_events({"Entries": [event]}, allow_aws_source=True)
    if status != 200 or json.loads(body)["FailedEntryCount"]:
        raise ValueError(f"the event was refused: {body}")


def advance(clock: Clock, milliseconds: int) -> int:
    from ministack.core.concurrency import esm_wake

    offset_ms = clock.advance(milliseconds)
    # Messages that became visible are polled now, and not up to a second later.
    esm_wake.set()
    return offset_ms


if __name__ == "__main__":
    sys.exit(main())
