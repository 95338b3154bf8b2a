"""Verifies a delivery in Python 3.8 or later, without packages. Copy the function you need and those it calls."""

import base64
import hashlib
import hmac
import os
import re
import sys
import time


def verify_standard(secret, headers, body):
    """Use this function if you can choose. The signature covers the id and the time as well as the body, so a replay
    is refused after five minutes. `headers` is `request.headers` of Flask, Django or Starlette. `body` is the bytes as
    received: parse them afterwards. Raises ValueError."""
    sent_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    key = base64.b64decode(checked(secret)[len("whsec_"):])
    if not re.fullmatch("[0-9]{1,12}", sent_at) or abs(time.time() - int(sent_at)) > 300:
        raise ValueError("webhook-timestamp is not within five minutes of now")
    signed = as_bytes(f"{sent_id}.{sent_at}.") + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    # After a rotation, both the new and the old secret sign for 24 hours. One match is enough.
    if not any(same(one, expected) for one in headers.get("webhook-signature", "").split(" ")):
        raise ValueError("webhook-signature does not match")


def verify_statuspulse(secret, headers, body):
    """The product's own form, for receivers that use it already. It covers only the body and cannot detect a replay."""
    expected = hmac.new(checked(secret).encode(), body, hashlib.sha256).hexdigest()
    # During a rotation with the style "split", a separate header has the new secret's digest.
    given = headers.get("x-statuspulse-signature", "") + "," + headers.get("x-statuspulse-signature-next", "")
    if not any(same(one, expected) for one in given.split(",")):
        raise ValueError("X-StatusPulse-Signature does not match")


def same(one, other):
    """Compares in constant time: the duration of == would reveal how much of a guess was right. Compares bytes, because
    compare_digest raises TypeError for text that is not ASCII, and anyone can send such a header."""
    return hmac.compare_digest(as_bytes(one), as_bytes(other))


def as_bytes(text):
    # Some servers decode bytes that are not UTF-8 as lone surrogates, which cannot be encoded. They become "?".
    return text.encode(errors="replace")


def checked(secret):
    """Refuses a malformed secret. A missing setting is an empty secret, with which anyone can sign."""
    if not re.fullmatch("whsec_[A-Za-z0-9+/]{32,86}={0,2}", secret):
        raise ValueError("the secret is not whsec_ and 24 to 64 bytes in base64")
    return secret


# STATUSPULSE_SECRET=whsec_… python3 verify.py < request
if __name__ == "__main__":
    headers = {}
    while line := sys.stdin.buffer.readline().rstrip(b"\r\n").decode("latin-1"):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip(" ")
    body = sys.stdin.buffer.read()
    secret = os.environ.get("STATUSPULSE_SECRET", "")
    try:
        verify_standard(secret, headers, body)
        verify_statuspulse(secret, headers, body)
    except ValueError as refusal:
        sys.exit(print(f"refused: {refusal}") or 1)
    print("ok")
