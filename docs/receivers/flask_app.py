"""Receives deliveries with Flask: STATUSPULSE_SECRET=whsec_... flask --app flask_app run"""

import hashlib
import hmac
import os

from flask import Flask, abort, request

SECRET = os.environ["STATUSPULSE_SECRET"].encode()
app = Flask(__name__)


def is_signed(body):
    expected = hmac.new(SECRET, body, hashlib.sha256).hexdigest().encode()
    # During a rotation there are two signatures: in one header, or in two.
    names = "X-StatusPulse-Signature", "X-StatusPulse-Signature-Next"
    given = ",".join(request.headers.get(name, "") for name in names).encode(errors="replace")
    return any(hmac.compare_digest(expected, one) for one in given.split(b","))


@app.post("/statuspulse")
def receive():
    # The bytes as they came. request.json would be what the parser made of them.
    if not is_signed(request.get_data()):
        abort(401)
    message = request.get_json()
    if message["event_type"].startswith("incident_"):
        print(message["event_type"], message["incident_id"], flush=True)
    return {}
