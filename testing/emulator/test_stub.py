"""A bootstrap for test_launch.py. It uses the Lambda Runtime API, does what an event asks for, and writes the event to
the file STATUSPULSE_DEV_STUB_NOTES. The messages of a batch have such events as their bodies."""

import http.client
import json
import os
import sys
import time


def main():
    runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        runtime.request("GET", "/2018-06-01/runtime/invocation/next")
        response = runtime.getresponse()
        event = json.loads(response.read())
        if response.status != 200:
            sys.exit("the Runtime API has ended")
        # The variable from which the SDK takes the header of its calls.
        os.environ["_X_AMZN_TRACE_ID"] = response.getheader("Lambda-Runtime-Trace-Id", "")
        request = "/2018-06-01/runtime/invocation/" + response.getheader("Lambda-Runtime-Aws-Request-Id")
        try:
            result, ending = handle(event), "response"
        except Exception as error:
            result, ending = {"errorType": type(error).__name__, "errorMessage": str(error)}, "error"
        runtime.request("POST", f"{request}/{ending}", json.dumps(result), {"Content-Type": "application/json"})
        runtime.getresponse().read()


def handle(event):
    if "Records" in event:
        return {"batchItemFailures": [failure for record in event["Records"] for failure in handle_record(record)]}
    if "routeKey" in event:
        return {"statusCode": 200, "body": json.dumps({"rawPath": event["rawPath"], "query": event["rawQueryString"]})}
    if "detail-type" in event:
        note("bus", event["detail"])
        event = event["detail"]
    return work(event)


def handle_record(record):
    event = json.loads(record["body"])
    receive_count = int(record["attributes"]["ApproximateReceiveCount"])
    note("message", {"body": event, "receive_count": receive_count})
    result = "done" if event.get("once") and receive_count > 1 else work(event)
    return [{"itemIdentifier": record["messageId"]}] if result == "failed" else []


def work(event):
    match event.get("do"):
        case "call":
            return call_aws(event["service"], event["operation"], event["arguments"])
        case "chain":
            if event["left"] > 0:
                following = json.dumps(event | {"left": event["left"] - 1})
                sent = call_aws("sqs", "send_message", {"QueueUrl": event["queue"], "MessageBody": following})
                return "done" if sent == "ok" else "failed"
        case "environment":
            return dict(os.environ)
        case "clock":
            with open(os.environ["STATUSPULSE_DEV_CLOCK_FILE"]) as file:
                return int(file.read())
        case "sleep":
            time.sleep(event["seconds"])
        case "fail":
            return "failed"
        case "raise":
            raise ValueError("the event asked for this error")
    return "done"


def call_aws(service, operation, arguments):
    import boto3

    try:
        getattr(boto3.client(service), operation)(**arguments)
    except Exception as error:
        return getattr(error, "response", {}).get("Error", {}).get("Code", repr(error))
    return "ok"


def note(kind, content):
    with open(os.environ["STATUSPULSE_DEV_STUB_NOTES"], "a") as file:
        file.write(json.dumps({"kind": kind, "at": time.time(), **content}) + "\n")


main()
