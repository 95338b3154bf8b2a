"""What the test gives a story, and how a story says what it found."""

import os

url = os.environ["STATUSPULSE_URL"]
key = os.environ["STATUSPULSE_KEY"]
receiver = os.environ["RECEIVER_URL"]


def show(*words: object) -> None:
    print(*(str(word).lower() if isinstance(word, bool) else word for word in words))


def secret_was_replaced(before: str, after: str) -> bool:
    return before.startswith("whsec_") and after.startswith("whsec_") and before != after
