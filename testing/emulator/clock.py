"""The emulator's clock: the real time plus an offset that tests move.

MiniStack uses `time.time()` and `datetime.now()` for everything: DelaySeconds, visibility timeouts, schedules, TTL. So
it is enough to replace these two. Waits (`sleep`, timeouts of locks and sockets) use the monotonic clock and take real
time.

The offset is in a file, as a decimal number of milliseconds, so that the functions, which are separate processes, can
add the same offset. Only the file counts: any process that writes it moves the clock.
"""

import datetime
import os
import time
from pathlib import Path

_real_time = time.time
_real_gmtime = time.gmtime
_real_datetime = datetime.datetime

# How long this process may use an old offset after another process has written the file. Reading the file takes 15 µs,
# and the time is needed thousands of times per second.
_REREAD_SECONDS = 0.02


class Clock:
    """Reads and moves the offset. `install` makes this the clock of the process."""

    def __init__(self, file: Path):
        self.file = file
        self._offset_ms = 0
        self._reread_at = 0.0
        self._write(0)

    @property
    def offset_ms(self) -> int:
        self._reread()
        return self._offset_ms

    def now(self) -> float:
        if time.monotonic() >= self._reread_at:
            self._reread()
        return _real_time() + self._offset_ms / 1000

    def advance(self, milliseconds: int) -> int:
        """Moves the clock and returns the new offset. Writes the file first, so that no function lags behind."""
        offset_ms = self.offset_ms + milliseconds
        self._write(offset_ms)
        self._reread()
        return offset_ms

    def install(self) -> None:
        """Replaces the real clock. Call this before MiniStack is imported, because it binds `datetime`."""
        time.time = self.now
        time.time_ns = lambda: int(self.now() * 1e9)
        time.gmtime = lambda seconds=None: _real_gmtime(self.now() if seconds is None else seconds)
        datetime.datetime = _SteeredDatetime

    def _write(self, offset_ms: int) -> None:
        # Renaming is atomic, so a reader never sees a partial number.
        draft = self.file.with_suffix(".new")
        draft.write_text(str(offset_ms))
        os.replace(draft, self.file)

    def _reread(self) -> None:
        self._offset_ms = int(self.file.read_text())
        self._reread_at = time.monotonic() + _REREAD_SECONDS


class _AlsoRealDatetimes(type):
    """C code still creates plain datetimes. They must pass `isinstance(value, datetime)` as before."""

    def __instancecheck__(cls, value):
        return isinstance(value, _real_datetime)


class _SteeredDatetime(_real_datetime, metaclass=_AlsoRealDatetimes):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls):
        return cls.fromtimestamp(time.time(), datetime.timezone.utc).replace(tzinfo=None)
