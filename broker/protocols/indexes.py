"""Checks that the entries of an answer are numbered as they must be."""

from collections.abc import Mapping, Sequence


def index_fault(entries: Sequence[Mapping[str, object]]) -> str | None:
    """Require the indexes 0 to n-1, in any order."""
    if len(entries) == 1:
        return None if entries[0].get("index", 0) == 0 else "the only entry has not index 0"
    seen = {index for entry in entries if type(index := entry.get("index")) is int}
    return None if seen == set(range(len(entries))) else "indexes do not fit"
