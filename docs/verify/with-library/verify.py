"""Verifies a delivery with the library of the Standard Webhooks project: pip install standardwebhooks."""

import os
import sys

from standardwebhooks import Webhook

# STATUSPULSE_SECRET=whsec_… python3 verify.py < request
headers = {}
while line := sys.stdin.buffer.readline().rstrip(b"\r\n").decode("latin-1"):
    name, _, value = line.partition(":")
    headers[name] = value.strip(" ")
try:
    # Returns the parsed event.
    Webhook(os.environ.get("STATUSPULSE_SECRET", "")).verify(sys.stdin.buffer.read(), headers)
except Exception as refusal:  # not only WebhookVerificationError: a malformed header raises ValueError
    sys.exit(print(f"refused: {refusal}") or 1)
print("ok")
