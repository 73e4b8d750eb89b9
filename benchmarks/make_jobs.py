"""Write a batch file of chat jobs, the same for the same arguments, each prompt with its own row number.

python benchmarks/make_jobs.py --rows 20000 --model gpt-5-mini -o jobs.jsonl
"""

import argparse
import itertools
import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PIECES = 1_009
"""Different texts; a prime, so that they pair differently with the other cycles."""
ROWS_PER_WRITE = 500
LEAST_BYTES = 320
MAX_TOKENS = (16, 64, 128, 256, 512)
TASKS = (
    "Label the sentiment of this review",
    "Summarise this report in one sentence",
    "Which language is this written in",
    "Name the product that this customer means",
    "Does the answer follow from the text",
)
WORDS = (
    *("a", "the", "of", "and", "to", "is", "was", "never", "again", "because", "however", "slowly", "river", "gate"),
    *("turbine", "water", "pressure", "valve", "winter", "meadow", "letter", "answer", "question", "customer", "late"),
    *("cheap", "broken", "lovely", "Zürich", "café", "naïve", "delivery", "refund", "invoice", "battery", "screen"),
    *("window", "morning", "evening", "opened", "closed", "found", "lost", "blue", "grey", "heavy", "bright", "seven"),
)


def text_of(draw: random.Random, size: int) -> str:
    """Words for about `size` bytes of UTF-8."""
    words: list[str] = []
    length = 0
    while length < size:
        word = draw.choice(WORDS)
        words.append(word)
        length += len(word.encode()) + 1
    return " ".join(words)


def templates(model: str, size: int) -> list[tuple[bytes, bytes, bytes]]:
    """Lines of `size` bytes, more or less a fifth, cut where the row number goes."""
    draw = random.Random(f"{model}/{size}")
    cut = []
    for piece in range(PIECES):
        line = {
            "custom_id": "row-\0",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {
                "model": model,
                "max_tokens": MAX_TOKENS[piece % len(MAX_TOKENS)],
                "messages": [{"role": "user", "content": f"Row \0. {TASKS[piece % len(TASKS)]}: \1"}],
            },
        }
        written = json.dumps(line, separators=(",", ":"))
        text = text_of(draw, int(size * draw.uniform(0.8, 1.2)) - len(written))
        head, middle, tail = written.replace("\\u0001", text).encode().split(b"\\u0000")
        cut.append((head, middle, tail + b"\n"))
    return cut


def rows(count: int, model: str, size: int) -> Iterator[bytes]:
    """Lines filled in from templates: building each from JSON would be slow."""
    cut = templates(model, size)
    for row in range(count):
        head, middle, tail = cut[row % PIECES]
        yield b"%b%d%b%d%b" % (head, row, middle, row, tail)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a batch file of chat jobs.")
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--model", default="sim-small", help="logical model of every job")
    parser.add_argument("--bytes", type=int, default=1_500, help=f"mean size of a line, {LEAST_BYTES} at least")
    parser.add_argument("-o", "--output", type=Path, required=True)
    asked = parser.parse_args()
    if asked.bytes < LEAST_BYTES or asked.rows < 0:
        parser.error(f"--bytes must be {LEAST_BYTES} at least, and --rows not negative")
    begun = time.perf_counter()
    lines = rows(asked.rows, asked.model, asked.bytes)
    with asked.output.open("wb") as output:
        while chunk := b"".join(itertools.islice(lines, ROWS_PER_WRITE)):
            output.write(chunk)
    took = max(time.perf_counter() - begun, 1e-9)
    print(f"{asked.rows} rows in {took:.2f} s ({asked.rows / took:.0f} rows/s): {asked.output}", file=sys.stderr)


if __name__ == "__main__":
    main()
