"""Receives deliveries with FastAPI: STATUSPULSE_SECRET=whsec_... uvicorn fastapi_app:app"""

import hashlib
import hmac
import os
from typing import Literal

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel, ValidationError

SECRET = os.environ["STATUSPULSE_SECRET"].encode()
app = FastAPI()


class Message(BaseModel):
    """What can come. A model without `handshake` would refuse the very first request."""

    event_type: Literal["incident_opened", "incident_updated", "incident_resolved", "handshake", "test"]
    incident_id: str | None = None


def is_signed(request: Request, body: bytes) -> bool:
    expected = hmac.new(SECRET, body, hashlib.sha256).hexdigest().encode()
    # During a rotation there are two signatures: in one header, or in two.
    names = "X-StatusPulse-Signature", "X-StatusPulse-Signature-Next"
    given = ",".join(request.headers.get(name, "") for name in names).encode(errors="replace")
    return any(hmac.compare_digest(expected, one) for one in given.split(b","))


@app.post("/statuspulse")
async def receive(request: Request) -> dict:
    # The bytes as they came. A parameter of the type Message would parse them first.
    body = await request.body()
    if not is_signed(request, body):
        raise HTTPException(401, "wrong signature")
    try:
        message = Message.model_validate_json(body)
    except ValidationError as error:
        raise HTTPException(422, "unknown message") from error
    if message.incident_id:
        print(message.event_type, message.incident_id, flush=True)
    return {}
