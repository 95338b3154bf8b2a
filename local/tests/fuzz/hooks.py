"""Directs fuzzed calls at objects that exist, and at a receiver on loopback."""

import itertools
import json
import os
import re
import urllib.error
import urllib.request
import zlib

import schemathesis

API, KEY, TARGET = os.environ["FUZZ_API"], os.environ["FUZZ_KEY"], os.environ["FUZZ_TARGET"]
# The statuses that endpoints answer with, mostly 200.
STATUSES = [200, 200, 200, 200, 500, 410, 204, 302]


def call(method, path, body=None, key=KEY):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(API + path, data, {"Authorization": f"Bearer {key}"}, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def new_webhook(status=200):
    body = {"url": f"{TARGET}/{status}", "events": ["incident_opened", "incident_updated", "incident_resolved"]}
    return call("POST", "/v1/webhooks", body)["id"]


def opened(incident):
    return {"payload": {
        "event_type": "incident_opened", "incident_id": incident, "monitor_name": "API", "status": "investigating",
        "triggered_at": "2024-03-15T14:22:01Z", "details": {}}}


# The last one stays pending.
WEBHOOKS = [new_webhook(), new_webhook(), new_webhook(204)]
for number in range(3):
    call("POST", "/v1/events", opened(f"INC-{number}"))
DELIVERIES = [one["id"] for one in call("GET", f"/v1/webhooks/{WEBHOOKS[0]}/deliveries")["data"]]


OWN_KEYS = [one["id"] for one in call("GET", "/v1/keys")["data"]]


def spare_keys(count):
    """Keys to revoke; fewer if the fuzzer has used up what an account may have."""
    try:
        return [call("POST", "/v1/keys", {"role": "viewer"})["id"] for _ in range(count)]
    except urllib.error.HTTPError:
        return []


SPARE_KEYS = spare_keys(20)
UNKNOWN = "{}_01ARZ3NDEKTSV4RRFFQ69G5FAV"
SLACK_URLS = itertools.cycle([f"{TARGET}/200", None])


def rotating_webhook():
    """A webhook with a rotation in progress, to be finished or undone."""
    try:
        call("POST", f"/v1/webhooks/{WEBHOOKS[1]}/rotate-secret", {})
    except urllib.error.HTTPError:
        pass  # It is rotating already.
    return WEBHOOKS[1]


def new_key_of_other():
    """A key of the account that operators' calls are about, to be revoked."""
    path = f"/v1/accounts/{os.environ['FUZZ_OTHER']}/keys"
    try:
        return call("POST", path, {"role": "viewer"}, os.environ["FUZZ_OPERATOR"])["id"]
    except urllib.error.HTTPError:
        return UNKNOWN.format("key")  # It has as many as it may.


def chosen(values, text):
    """One of the values; the same for the same text."""
    return values[zlib.crc32(text.encode()) % len(values)]


def known(operation, name, value, parameters, phase):
    """Replaces an id in a path, mostly by one that exists."""
    if value in OWN_KEYS:
        return UNKNOWN.format(value[:3])
    # Invalid ids stay invalid, and stateful tests keep the ids of earlier calls.
    if phase == "stateful" or not re.fullmatch(r"(whe|dlv|key|acc)_[0-7][0-9A-HJKMNP-TV-Z]{25}", value):
        return value
    if zlib.crc32(value.encode()) % 5 == 0:
        return UNKNOWN.format(value[:3])
    if value.startswith("acc_"):
        return os.environ["FUZZ_OTHER"]
    if operation == "revokeKeyOfAccount":
        return new_key_of_other()
    if operation in ("finishRotation", "cancelRotation"):
        return rotating_webhook()
    if operation == "deleteWebhook":
        return new_webhook()
    if operation == "revokeKey":
        return SPARE_KEYS.pop() if SPARE_KEYS else UNKNOWN.format("key")
    if name == "delivery_id":
        return chosen(DELIVERIES, value)
    return WEBHOOKS[0] if "delivery_id" in parameters else chosen(WEBHOOKS, value)


@schemathesis.hook
def before_call(context, case, kwargs):
    operation = case.operation.definition.raw.get("operationId")
    if case.method.lower() != case.operation.method.lower():
        return
    if operation == "testSlack":
        call("PATCH", "/v1/account", {"slack_url": next(SLACK_URLS)})
    parameters = case.path_parameters or {}
    for name, value in parameters.items():
        parameters[name] = known(operation, name, str(value), parameters, case.meta.phase.name.value)
    if isinstance(case.body, dict):
        for name in ("url", "slack_url"):
            value = case.body.get(name)
            if isinstance(value, str) and (value.lower().startswith("http") or zlib.crc32(value.encode()) % 2):
                case.body[name] = f"{TARGET}/{chosen(STATUSES, value)}"


@schemathesis.hook
def after_call(context, case, response):
    operation = case.operation.definition.raw.get("operationId")
    with open(os.environ["FUZZ_SEEN"], "a") as seen:
        print(operation, response.status_code, file=seen)
