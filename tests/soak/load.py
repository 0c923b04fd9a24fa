"""Producers and readers of a broker, who know every byte.

A record says who made it and its number; its bytes follow from these. The broker's answer says under which offset it
stands. So any read can be compared by itself, and a record that stands twice, nowhere or elsewhere is noticed.
"""

import random
import struct
import threading
import time
from array import array

from broker import OUT_OF_RANGE, READ, RETRY, Connection, Refused

_HEAD = struct.Struct("<III")
_POOL = random.Random(1).randbytes(1 << 20)
BATCH = 16
ON_PURPOSE = "On purpose"  # the message of every error that the proxy makes up


def payload(producer, number):
    """A record of 12 to 8 KB, half of which compresses."""
    dice = (producer * 0x9E3779B1 + number * 0x85EBCA6B) & 0xFFFFFFFF
    size, at = dice % 4096, (dice >> 8) % ((1 << 20) - 4096)
    return _HEAD.pack(producer, number, size) + _POOL[at : at + size] + bytes(size)


class Ledger:
    """Which record stands under which offset, once the broker has said so."""

    def __init__(self):
        self.lock = threading.Lock()
        # Of each offset the producer and the number of its record, in one number; 0 while nobody was told.
        self.told = array("Q")
        self.wrong = []
        self.compared = 0

    def append(self, offset, producer, first, count):
        with self.lock:
            missing = offset + count - len(self.told)
            if missing > 0:
                self.told.extend([0] * missing)
            for n in range(count):
                if self.told[offset + n]:
                    self.wrong.append(f"offset {offset + n} was given twice")
                self.told[offset + n] = (producer + 1) << 32 | first + n

    def end(self):
        """The offset up to which every append was answered."""
        with self.lock:
            end = len(self.told)
            while end > 0 and not self.told[end - 1]:
                end -= 1
            return end

    def compare(self, offset, records):
        """Notes every record that is not the one that was appended there."""
        for n, record in enumerate(records):
            with self.lock:
                told = self.told[offset + n] if offset + n < len(self.told) else 0
            producer, number, _ = _HEAD.unpack_from(record)
            # A record may be read before its producer has heard the answer.
            if record != payload(producer, number) or told not in (0, (producer + 1) << 32 | number):
                self.wrong.append(f"offset {offset + n} holds another record than {told >> 32}/{told & 0xFFFFFFFF}")
        with self.lock:
            self.compared += len(records)


class Worker(threading.Thread):
    """Something that goes on until it is told to stop. What breaks it is kept."""

    def __init__(self, port, stop):
        super().__init__(daemon=True)
        self.connection, self.stop = Connection(port), stop
        self.connection.socket.settimeout(300)
        self.moved = self.retries = 0
        self.slowest = 0.0
        self.broken = None
        self.busy_since = None

    def run(self):
        try:
            while not self.stop.is_set():
                self.step()
        except Exception as error:  # whatever it is, the verdict tells it
            self.broken = f"{type(self).__name__}: {error!r}"

    def timed(self, work):
        started = self.busy_since = time.monotonic()
        try:
            return work()
        finally:
            self.slowest = max(self.slowest, time.monotonic() - started)
            self.busy_since = None


class Producer(Worker):
    def __init__(self, port, stop, ledger, number, rate):
        super().__init__(port, stop)
        self.ledger, self.number, self.rate = ledger, number, rate
        self.next, self.started = 0, time.monotonic()

    def step(self):
        records = [payload(self.number, self.next + n) for n in range(BATCH)]
        offset = self.timed(lambda: self.connection.append(*records))
        self.ledger.append(offset, self.number, self.next, BATCH)
        self.next += BATCH
        self.moved += sum(map(len, records))
        ahead = self.moved / self.rate - (time.monotonic() - self.started)
        if ahead > 0:
            self.stop.wait(ahead)


class Reader(Worker):
    """Reads the log from its start to its end and over again, or here and there."""

    def __init__(self, port, stop, ledger, rate, dice=None):
        super().__init__(port, stop)
        self.ledger, self.rate, self.dice = ledger, rate, dice
        self.offset, self.started = 0, time.monotonic()

    def log_start(self):
        return self.connection.stat()["start"]

    def step(self):
        end = self.ledger.end()
        if self.dice:
            start = self.log_start()
            self.offset = self.dice.randrange(start, max(end, start + 1))
        size = 200_000 if self.dice else 1 << 20
        try:
            body = self.timed(lambda: self.connection.ask(READ, struct.pack("<qI", self.offset, size)))
        except Refused as refused:
            if refused.status == OUT_OF_RANGE:
                # Retention was faster.
                self.offset = self.log_start()
            elif refused.status == RETRY or ON_PURPOSE in str(refused):
                # The tier is away, or has refused: the proxy's word for what looks like a missing permission.
                self.retries += 1
                self.stop.wait(0.2)
            else:
                raise
            return
        records = Connection.records(body, self.offset)
        self.ledger.compare(self.offset, records)
        self.moved += len(body)
        self.offset += len(records)
        if not records:
            self.offset = self.log_start()
            self.stop.wait(0.1)
        ahead = self.moved / self.rate - (time.monotonic() - self.started)
        if ahead > 0:
            self.stop.wait(ahead)
