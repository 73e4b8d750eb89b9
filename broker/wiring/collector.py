"""How often a process that runs jobs looks for garbage."""

import gc


def collect_rarely() -> None:
    """Look for reference cycles every 100,000 allocations: a job makes dozens of objects and no cycle.

    At the default of 700 the collector took a sixth of the CPU of a fast run.
    """
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
