"""Verifies a delivery with nothing but Python (3.8 or later). Copy the function you need, and what it calls."""

import base64
import hashlib
import hmac
import os
import re
import sys
import time


def verify_standard(secret, headers, body):
    """Use this one if you can choose. It covers id and time as well as the body, so a recorded delivery that somebody
    sends again is refused after five minutes. `headers` are Flask's, Django's or Starlette's `request.headers`;
    `body` is the bytes that came: parse them later. Raises ValueError."""
    sent_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    key = base64.b64decode(checked(secret)[len("whsec_"):])
    if not re.fullmatch("[0-9]{1,12}", sent_at) or abs(time.time() - int(sent_at)) > 300:
        raise ValueError("webhook-timestamp is not within five minutes of now")
    signed = as_bytes(f"{sent_id}.{sent_at}.") + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    # Two for a day after a rotation, the new secret's and the old one's. One that fits is enough.
    if not any(same(one, expected) for one in headers.get("webhook-signature", "").split(" ")):
        raise ValueError("webhook-signature does not match")


def verify_statuspulse(secret, headers, body):
    """The product's own form, for whoever has it already: it covers the body alone, so it does not notice a replay."""
    expected = hmac.new(checked(secret).encode(), body, hashlib.sha256).hexdigest()
    # A rotation of the style "split" has the new secret's digest in a header of its own.
    given = headers.get("x-statuspulse-signature", "") + "," + headers.get("x-statuspulse-signature-next", "")
    if not any(same(one, expected) for one in given.split(",")):
        raise ValueError("X-StatusPulse-Signature does not match")


def same(one, other):
    """In constant time: == would tell by its duration how much of a guess was right. As bytes, because
    compare_digest raises TypeError for text that is not ASCII, and anybody may send such a header."""
    return hmac.compare_digest(as_bytes(one), as_bytes(other))


def as_bytes(text):
    # Some servers hand out bytes that are not UTF-8 as lone surrogates, which have no encoding: they become "?".
    return text.encode(errors="replace")


def checked(secret):
    """Anybody can sign with an empty key, which is what a setting that was forgotten amounts to."""
    if not re.fullmatch("whsec_[A-Za-z0-9+/]{43}=", secret):
        raise ValueError("the secret is not whsec_ and 32 bytes in base64")
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
