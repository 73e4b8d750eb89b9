"""Writes the expectations anew: `python -m tests.protocols.golden_matrix`.

What has changed then is in the diff, and is to be read against the vendors' documentation before it is committed.
"""

from tests.protocols.golden_matrix.expectations import EXPECTED, computed, documented


def _write() -> None:
    written = set()
    for source in documented():
        source.expectation.parent.mkdir(parents=True, exist_ok=True)
        source.expectation.write_text(computed(source), "utf-8")
        written.add(source.expectation)
    for path in EXPECTED.glob("*/*.json"):
        if path not in written:
            path.unlink()


if __name__ == "__main__":
    _write()
