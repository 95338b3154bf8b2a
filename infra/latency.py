"""Computes how long a first attempt takes on AWS, cold and warm, and what keeping environments warm costs.

    python infra/latency.py       # prints the tables of docs/latency.md

Our CPU times are those of docs/performance.md (`make coldstart`). What AWS adds cannot be measured without an account:
it is published or assumed, as HOPS says. Each hop is a log-normal distribution with its p50 and p99. The sums are of
20,000 simulated events, always the same ones.
"""

import math
import random
import re
import sys
from dataclasses import dataclass
from pathlib import Path

PERFORMANCE = Path(__file__).parent.parent / "docs/performance.md"
EVENTS = 20_000

MEMORY_MB = 512  # of both functions
ONE_CPU_MB = 1769  # the memory for which Lambda gives a whole core
SECONDS = 30.4 * 24 * 3600
PROVISIONED = {"arm64": 0.0000033334, "x86_64": 0.0000041667}  # dollars for a gigabyte and second, us-east-1


@dataclass(frozen=True)
class Hop:
    what: str
    p50: float
    p99: float
    source: str


API = Hop("HTTP API, and the call of a function that is ready", 8, 20, "assumed")
TABLE = Hop("one call of DynamoDB", 4, 10, "assumed: AWS promises single-digit milliseconds")
BUS = Hop("from the event bus to a function that is ready", 148, 387, "published: bitesizedserverless.com, 2023")
QUEUE = Hop("from SQS to a function that is ready", 16.2, 105, "published: bitesizedserverless.com, 2022, with the sending")
CONNECT = Hop("a TLS connection to an AWS service", 8, 20, "assumed")
KEY = Hop("decrypting the data key with KMS", 8, 25, "assumed")
PLACE = Hop("finding a machine, loading 6 MB of code", 80, 230, "assumed: published cold starts of Go are 80 to 250 ms in all")
INIT = Hop("starting a Rust process on provided.al2023", 19, 22, "published: fulgurion.com, 2026, 512 MB arm64")
HOPS = (API, BUS, TABLE, QUEUE, CONNECT, KEY, PLACE, INIT)


@dataclass(frozen=True)
class Cpu:
    """The CPU of a function in milliseconds: up to its first poll, its first call, and its later calls."""

    start: float
    first: float
    later: float


def measured(text: str, function: str) -> Cpu:
    row = re.search(rf"^\| {function} \|(.*)\|$", text, re.M)
    if row is None:
        raise SystemExit(f"{PERFORMANCE.name} has no row of {function}")
    cells = [cell.strip() for cell in row[1].split("|")]
    start, first, later = (float(cells[column].split()[0]) for column in (3, 4, 5))
    return Cpu(start, first, later)


def share_of_a_core(milliseconds: float) -> float:
    return milliseconds * ONE_CPU_MB / MEMORY_MB


class Event:
    """The time of one simulated event."""

    def __init__(self, dice: random.Random):
        self.dice = dice
        self.took = 0.0

    def hop(self, hop: Hop, times: int = 1) -> None:
        sigma = math.log(hop.p99 / hop.p50) / 2.326
        self.took += sum(hop.p50 * math.exp(sigma * self.dice.gauss(0, 1)) for _ in range(times))

    def cpu(self, milliseconds: float) -> None:
        self.took += share_of_a_core(milliseconds)

    def function(self, cpu: Cpu, state: str, services: int, calls: int) -> None:
        """One call of a function: `calls` of DynamoDB one after the other, to `services` that it needs connections to."""
        if state == "cold":
            self.hop(PLACE)
            self.hop(INIT)
            # The start has a whole core. It opens its connections one beside the other.
            self.took += cpu.start
            self.hop(CONNECT)
            self.hop(TABLE)
            self.hop(KEY)
            self.cpu(cpu.first)
        else:
            if state == "idle":
                self.hop(CONNECT, services)
            self.cpu(cpu.later)
        self.hop(TABLE, calls)


def first_attempt(way_in: Hop, fanout: str, delivery: str, cpus: dict[str, Cpu]) -> list[float]:
    """Milliseconds from the event to the POST, in order."""
    dice = random.Random(1)
    times = []
    for _ in range(EVENTS):
        event = Event(dice)
        event.hop(way_in)
        # The account's webhooks, the event, the delivery, its lane; then the queue.
        event.function(cpus["fanout"], fanout, services=2, calls=4)
        event.hop(QUEUE)
        # The webhook and the claim.
        event.function(cpus["delivery"], delivery, services=1, calls=2)
        times.append(event.took)
    return sorted(times)


def dollars(environments: int, architecture: str = "arm64") -> float:
    return environments * MEMORY_MB / 1024 * SECONDS * PROVISIONED[architecture]


def tables() -> str:
    text = PERFORMANCE.read_text()
    cpus = {function: measured(text, function) for function in ("fanout", "delivery")}
    lines = ["| hop | p50 ms | p99 ms | source |", "|---|---|---|---|"]
    lines += [f"| {hop.what} | {hop.p50:g} | {hop.p99:g} | {hop.source} |" for hop in HOPS]
    lines += ["", "| first attempts, from the event to the POST | p50 ms | p99 ms | within 200 ms | $ a month |", "|---|---|---|---|---|"]
    choices = [("rare incidents, `WarmFanout=0 WarmDelivery=0`", API, "cold", "cold", 0),
               ("rare incidents, `WarmFanout=0 WarmDelivery=1`", API, "cold", "idle", 1),
               ("rare incidents, `WarmFanout=1 WarmDelivery=1`", API, "idle", "idle", 2),
               ("an event every few seconds", API, "busy", "busy", 0),
               ("an event every few seconds, from the event bus", BUS, "busy", "busy", 0)]
    for name, way_in, fanout, delivery, environments in choices:
        times = first_attempt(way_in, fanout, delivery, cpus)
        within = sum(took <= 200 for took in times) / EVENTS
        cost = f"{dollars(environments):.2f}"
        lines.append(f"| {name} | {times[EVENTS // 2]:.0f} | {times[EVENTS * 99 // 100]:.0f} | {within:.1%} | {cost} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(tables() + "\n")
