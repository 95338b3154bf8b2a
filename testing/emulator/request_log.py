"""The request log: the calls to the emulated AWS, with the calling function, the cost, and the decision of IAM.

One JSON object per AWS API call:

    n            number of the entry, counted from the start
    time         milliseconds since 1970 on the emulator's clock, when the call arrived
    took_ms      how long it took
    service      as in the signature: "dynamodb", "sqs", ...
    action       "GetItem", "SendMessageBatch", ...
    resource     logical id in the template if there is one, otherwise the name: "Table", "FirstQueue"
    function     the function whose role signed it, or "harness"
    outcome      "ok", "denied", or the name of the error
    permissions  the IAM actions that were checked, which the role needs for this call
    bytes        size of the request body
    read_units, write_units   only for DynamoDB: the request units that it would have cost

What MiniStack does without a request (polling queues, firing schedules and rules) is not logged.
"""

import collections
import contextvars
import json
import math
import re
import threading
import time

# A long run of the tests makes about 100,000 entries of 250 bytes.
ENTRIES_MAX = 500_000

# The entry of the current request. The wrapped functions below add to it.
_entry: contextvars.ContextVar[dict | None] = contextvars.ContextVar("request_log_entry", default=None)
_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/[^/]*/[^/]*/([^/]+)/")
_RESOURCE_KINDS = ("table/", "key/", "alias/", "event-bus/", "secret:", "function:", "schedule/", "schedule-group/")


class RequestLog:
    def __init__(self):
        self._lines = collections.deque(maxlen=ENTRIES_MAX)
        self._next = 0
        self._lock = threading.Lock()
        # From physical names to logical ids. Filled when the stack is ready.
        self.logical_names: dict[str, str] = {}
        self.function_names: dict[str, str] = {}

    def add(self, entry: dict) -> None:
        with self._lock:
            self._lines.append((self._next, json.dumps({"n": self._next, **entry})))
            self._next += 1

    def lines_since(self, n: int) -> str:
        with self._lock:
            return "".join(line + "\n" for number, line in self._lines if number >= n)

    def purge(self) -> None:
        with self._lock:
            self._lines.clear()


def install(log: RequestLog, replace) -> None:
    """Hooks into what every request passes: dispatch, IAM check, DynamoDB. `replace` is `patches.replace`."""
    from ministack import app
    from ministack.core import iam_evaluator
    from ministack.services import dynamodb

    dispatch, enforce, answer_dynamodb = app._dispatch_service_request, iam_evaluator.enforce, dynamodb.handle_request

    async def logged_dispatch(method, path, headers, body, query_params, request_id):
        caller, service = _caller(log, headers)
        entry = {
            "time": int(time.time() * 1000), "took_ms": 0.0, "service": service, "action": "", "resource": "",
            "function": caller, "outcome": "ok", "permissions": [], "bytes": len(body),
        }
        token = _entry.set(entry)
        started = time.perf_counter()
        try:
            response = await dispatch(method, path, headers, body, query_params, request_id)
        finally:
            _entry.reset(token)
        entry["took_ms"] = round((time.perf_counter() - started) * 1000, 1)
        entry["action"] = _action(method, path, headers, entry)
        if entry["outcome"] == "ok" and response[0] >= 400:
            entry["outcome"] = _error_name(response)
        log.add(entry)
        return response

    def logged_enforce(access_key_id, iam_action, service, region, resource_arn="*", service_context=None):
        denied = enforce(access_key_id, iam_action, service, region, resource_arn, service_context)
        if (entry := _entry.get()) is not None:
            if iam_action not in entry["permissions"]:
                entry["permissions"].append(iam_action)
            entry["resource"] = entry["resource"] or _resource(log, resource_arn)
            if denied is not None:
                entry["outcome"] = "denied"
        return denied

    async def metered_dynamodb(method, path, headers, body, query_params):
        entry = _entry.get()
        if entry is None:
            return await answer_dynamodb(method, path, headers, body, query_params)
        request, action = json.loads(body or b"{}"), headers.get("x-amz-target", "").rpartition(".")[2]
        written = _written_items(action, request)
        sizes = [_item_bytes(table, key) for table, key in written]
        response = await answer_dynamodb(method, path, headers, body, query_params)
        sizes = [max(before, _item_bytes(table, key)) for before, (table, key) in zip(sizes, written)]
        if _was_carried_out(response):
            factor = 2 if action == "TransactWriteItems" else 1
            if written:
                entry["write_units"] = factor * sum(max(1, math.ceil(size / 1024)) for size in sizes)
            elif (units := _read_units(action, request, response)) is not None:
                entry["read_units"] = units
        return response

    replace(app, "_dispatch_service_request", logged_dispatch)
    replace(iam_evaluator, "enforce", logged_enforce)
    replace(dynamodb, "handle_request", metered_dynamodb)


def _caller(log: RequestLog, headers: dict) -> tuple[str, str]:
    """Returns the caller that signed the request, and the service."""
    from ministack.services import sts

    signed = _CREDENTIAL.search(headers.get("authorization", ""))
    if signed is None:
        return "anonymous", ""
    # A session's ARN ends with the session's name, which in MiniStack is the name of the function.
    session = sts._sessions.get(signed[1])
    if session is None:
        return "harness", signed[2]
    name = session["Arn"].rpartition("/")[2]
    return log.function_names.get(name, name), signed[2]


def _action(method: str, path: str, headers: dict, entry: dict) -> str:
    if target := headers.get("x-amz-target", ""):
        return target.rpartition(".")[2]
    if entry["permissions"]:
        return entry["permissions"][0].partition(":")[2]
    return f"{method} {path}"


def _resource(log: RequestLog, arn: str) -> str:
    name = arn.split(":", 5)[-1]
    for kind in _RESOURCE_KINDS:
        name = name.removeprefix(kind)
    return log.logical_names.get(name, log.logical_names.get(arn, name))


def _error_name(response: tuple) -> str:
    status, headers, body = response
    name = headers.get("x-amzn-errortype", "")
    if not name and isinstance(body, (bytes, str)):
        try:
            name = json.loads(body).get("__type", "")
        except (ValueError, AttributeError):
            name = ""
    return name.rpartition("#")[2].partition(":")[0] or f"status {status}"


def _was_carried_out(response: tuple) -> bool:
    """Whether the request costs anything. A false condition costs as much as a write, a malformed request nothing."""
    refused = ("ConditionalCheckFailedException", "TransactionCanceledException")
    return response[0] < 400 or _error_name(response) in refused


def _written_items(action: str, request: dict) -> list[tuple[str, dict]]:
    """Returns the table and key (or the item, which contains its key) of everything a request writes or checks."""
    if action in ("PutItem", "UpdateItem", "DeleteItem"):
        return [(request.get("TableName"), request.get("Key") or request.get("Item") or {})]
    if action == "TransactWriteItems":
        operations = [operation for item in request.get("TransactItems", []) for operation in item.values()]
        return [(op.get("TableName"), op.get("Key") or op.get("Item") or {}) for op in operations]
    if action == "BatchWriteItem":
        return [(table, operation.get("Key") or operation.get("Item") or {})
                for table, items in request.get("RequestItems", {}).items()
                for item in items for operation in item.values()]
    return []


def _read_units(action: str, request: dict, response: tuple) -> float | None:
    """Read request units: one for each started 4 KiB, half of it unless strongly consistent, twice in transactions."""
    if action == "GetItem":
        units = _read_blocks(_item_bytes(request.get("TableName"), request.get("Key", {})))
        return units * (1 if request.get("ConsistentRead") else 0.5)
    if action == "BatchGetItem":
        return sum(_read_blocks(_item_bytes(table, key)) * (1 if wanted.get("ConsistentRead") else 0.5)
                   for table, wanted in request.get("RequestItems", {}).items() for key in wanted.get("Keys", []))
    if action == "TransactGetItems":
        gets = [item["Get"] for item in request.get("TransactItems", [])]
        return sum(2 * _read_blocks(_item_bytes(get.get("TableName"), get.get("Key", {}))) for get in gets)
    if action in ("Query", "Scan"):
        return _read_blocks(_page_bytes(request, response)) * (1 if request.get("ConsistentRead") else 0.5)
    return None


def _read_blocks(size: int) -> int:
    return max(1, math.ceil(size / 4096))


def _page_bytes(request: dict, response: tuple) -> int:
    """Size of what a Query or Scan went through. Items it filtered out count as the mean of those it returned."""
    page = json.loads(response[2])
    sizes = [_item_bytes(request.get("TableName"), item) for item in page.get("Items", [])]
    if not sizes:
        return 0
    return int(sum(sizes) * max(1, page.get("ScannedCount", 0) / len(sizes)))


def _item_bytes(table_name: str, key: dict) -> int:
    """Size of the stored item with this key, which may carry other attributes too; 0 where there is none."""
    from ministack.services import dynamodb

    table = dynamodb._tables.get(dynamodb._normalize_table_name(table_name))
    if not table:
        return 0
    names = [name for name in (table["pk_name"], table["sk_name"]) if name]
    if any(not isinstance(key.get(name), dict) for name in names):
        return 0
    item = dynamodb._get_item_by_key(table, {name: key[name] for name in names})
    return dynamodb._item_size_bytes(item) if item else 0
