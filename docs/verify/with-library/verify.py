"""Verifies a delivery with the Standard Webhooks project's own library: pip install standardwebhooks."""

import os
import sys

from standardwebhooks import Webhook

# STATUSPULSE_SECRET=whsec_… python3 verify.py < request
headers = {}
while line := sys.stdin.buffer.readline().rstrip(b"\r\n").decode("latin-1"):
    name, _, value = line.partition(":")
    headers[name] = value.strip(" ")
try:
    # The parsed event comes back.
    Webhook(os.environ.get("STATUSPULSE_SECRET", "")).verify(sys.stdin.buffer.read(), headers)
except Exception as refusal:  # not its WebhookVerificationError alone: a malformed header raises ValueError
    sys.exit(print(f"refused: {refusal}") or 1)
print("ok")
