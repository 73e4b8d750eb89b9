"""A worker process and whoever started it: "I am ready" goes one way, "you are alone now" the other.

fleet ◀── `ready`, once ────────────────── PENSTOCK_READY_FD   worker
      ─── nothing, until the fleet is gone ─▶ PENSTOCK_PARENT_FD

A worker that was started by hand has neither: it tells nobody, and nobody leaves it.
"""

import asyncio
import os
import stat
from contextlib import suppress

from broker.secrets import inherited_descriptor

READY_FD = "PENSTOCK_READY_FD"
PARENT_FD = "PENSTOCK_PARENT_FD"
READY = b"ready\n"


def say_ready() -> None:
    """Tell whoever started this process that it works now."""
    descriptor = _inherited_pipe(READY_FD)
    if descriptor is not None:
        with suppress(OSError):  # nobody listens any more
            os.write(descriptor, READY)


async def parent_gone() -> None:
    """Return when whoever started this process has ended, however that came; without such a one, never."""
    descriptor = _inherited_pipe(PARENT_FD)
    gone = asyncio.Event()
    if descriptor is None:
        await gone.wait()
        return
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, gone.set)  # nothing is ever written: it can be read when it is at its end
    try:
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)


def _inherited_pipe(name: str) -> int | None:
    """The open pipe of that name; its number may also come from an environment that was handed on without it."""
    descriptor = inherited_descriptor(name)
    if descriptor is None:
        return None
    try:
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return None
    except OSError:
        return None
    os.set_inheritable(descriptor, False)  # what this process starts is nothing to that one
    return descriptor
