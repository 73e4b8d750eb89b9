"""Says that it is ready, and makes a file when its parent is gone, by the means of a worker: parent_watcher.py FILE."""

import asyncio
import sys
from pathlib import Path

from workers.parent import parent_gone, say_ready


async def main() -> None:
    say_ready()
    say_ready()
    await parent_gone()


asyncio.run(main())
Path(sys.argv[1]).touch()
