"""Recursive loop detection, as in Lambda.

With each call, the SDK sends the trace header of the invocation that makes it. SQS keeps the header with the message,
and Lambda passes it to the function that receives the message. Its `Lineage` counts how often each function was invoked
in this chain. Lambda stops the chain before a function's 17th invocation, unless the function has
`RecursiveLoop: Allow`. The message is refused each time it is received, and becomes a dead letter.
"""

import contextvars
import functools
import hashlib
import secrets
import time

INVOCATIONS_MAX = 16

# The trace header of the request that is being handled, and of the invocation that is being started.
_request = contextvars.ContextVar("request", default="")
_invocation = contextvars.ContextVar("invocation", default="")


def count_invocations(replace) -> None:
    """`replace` is the function of the same name in patches.py."""
    from ministack.services import lambda_svc, sqs

    handle, build, run = sqs.handle_request, sqs._build_send_sys_attrs, lambda_svc._run_sqs_batch
    drop = lambda_svc._recursive_loop_drop

    @functools.wraps(handle)
    async def handle_with_header(method, path, headers, *rest):
        _request.set(headers.get("x-amzn-trace-id", ""))
        return await handle(method, path, headers, *rest)

    def build_with_header(now, given):
        attributes = build(now, given)
        if header := _request.get():
            attributes.setdefault("AWSTraceHeader", header)
        return attributes

    def run_unless_looping(mapping, function, event, batch, *rest):
        headers = [record["attributes"].get("AWSTraceHeader", "") for record in event["Records"]]
        name = function["config"]["FunctionName"]
        lineage = _next(headers, name)
        # The count of the invocation that would begin now.
        if lambda_svc._recursive_loop_drop(name, function, lineage[_identity(name)]):
            lambda_svc._esm_backoff_until[mapping["UUID"]] = time.time() + lambda_svc._ESM_BACKOFF_SECONDS
            return
        token = _invocation.set(_header(lineage))
        try:
            run(mapping, function, event, batch, *rest)
        finally:
            _invocation.reset(token)

    def header_of_invocation(config, inbound=None):
        return _invocation.get() or _header(_next([inbound or ""], config["FunctionName"]))

    def drop_by_setting_of_function(name, function, depth):
        # The setting is the function's. MiniStack looks for it in the version that an alias calls.
        return drop(name, lambda_svc._functions.get(name, function), depth)

    replace(lambda_svc, "MAX_INVOKE_DEPTH", INVOCATIONS_MAX)
    replace(lambda_svc, "_recursive_loop_drop", drop_by_setting_of_function)
    replace(sqs, "handle_request", handle_with_header)
    replace(sqs, "_build_send_sys_attrs", build_with_header)
    replace(lambda_svc, "_run_sqs_batch", run_unless_looping)
    replace(lambda_svc, "_xray_trace_id_for_invocation", header_of_invocation)


def allow_loops(function_client, template: dict, physical_ids: dict[str, str]) -> None:
    """Does what CloudFormation does with `RecursiveLoop`, which MiniStack ignores. `template` is the expanded one."""
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Lambda::Function" and "RecursiveLoop" in resource["Properties"]:
            function_client.put_function_recursion_config(
                FunctionName=physical_ids[name], RecursiveLoop=resource["Properties"]["RecursiveLoop"])


def _identity(function: str) -> str:
    return hashlib.sha256(function.encode()).hexdigest()[:8]


def _next(headers: list[str], function: str) -> dict[str, int]:
    """Returns the counts of a chain after this invocation. Of a batch, the longest chain counts."""
    counts: dict[str, int] = {}
    for header in headers:
        for part in header.split(";"):
            if part.startswith("Lineage="):
                for entry in part.removeprefix("Lineage=").split("|"):
                    name, _, count = entry.partition(":")
                    counts[name] = max(counts.get(name, 0), int(count))
    own = _identity(function)
    return counts | {own: counts.get(own, 0) + 1}


def _header(lineage: dict[str, int]) -> str:
    root = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    counts = "|".join(f"{name}:{count}" for name, count in lineage.items())
    return f"Root={root};Parent={secrets.token_hex(8)};Sampled=0;Lineage={counts}"
