"""Where processes that run for long tell what they do: one line per event, on standard error."""

import logging
import sys

_CHATTY = ("aio_pika", "aiormq", "alembic", "faststream")
"""Libraries that report what they do themselves: what it means is reported by us."""


def to_standard_error(label: str = "") -> None:
    """Log what an operator should know; a supervisor adds time and place where it keeps them."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format=f"%(asctime)s %(levelname)s {label}%(name)s: %(message)s"
    )
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.CRITICAL)
