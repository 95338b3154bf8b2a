"""Cleans up when the launcher ends, even after `kill -9`.

MiniStack's bootstraps survive the death of the process that started them, and poll an address that no longer exists. So
a small process, forked before everything else, holds the reading end of a pipe. When the launcher ends in any way, the
writing end closes. Then this process deletes the state and kills its process group, to which all bootstraps belong.
"""

import contextlib
import os
import shutil
import signal


class Reaper:
    """`group` is the process group that the bootstraps must join."""

    def __init__(self, delete: str | None):
        watched, self._held = os.pipe()
        self.group = os.fork()
        if self.group == 0:
            os.close(self._held)
            _wait_and_reap(watched, delete)
        os.close(watched)
        # Both sides do this, so that the group exists before either continues.
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.setpgid(self.group, self.group)

    def reap(self) -> None:
        """Ends all bootstraps and waits for them."""
        os.close(self._held)
        os.waitpid(self.group, 0)


def _wait_and_reap(watched: int, delete: str | None) -> None:
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # A reader of the launcher's output waits until all processes have closed it.
    for descriptor in (0, 1, 2):
        with contextlib.suppress(OSError):
            os.close(descriptor)
    os.read(watched, 1)
    if delete:
        shutil.rmtree(delete, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)
