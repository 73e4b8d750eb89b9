"""What a translation costs: `python benchmarks/translation.py`.

A request of 1.5 KB in every dialect to every other: parsed, translated, serialised. And an answer of each protocol for
each dialect: parsed, understood, rendered, serialised. Microseconds of CPU; medians over many rounds of short runs, so
that a busy machine shows in the spread and not in the median. The gate: every request, and every answer, within 60.
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import orjson

from broker.domain.dialect import Dialect
from broker.protocols import parse_response, render_response, translate_request
from broker.protocols.exact_json import exact, written
from broker.wiring.collector import collect_rarely

GATE_US = 60.0
ROUNDS = 301
CALLS = 20
TEXTS = ("Which label fits this review of a kettle best? " * 13, "It depends on what you look for. " * 5)
SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "sure": {"type": "number"}},
    "required": ["label"],
}
CHAT: dict[str, Any] = {
    "model": "logical-model",
    "messages": [
        {"role": "system", "content": "You label product reviews. Answer with one word, and nothing else. " * 2},
        {"role": "user", "content": TEXTS[0]},
        {"role": "assistant", "content": TEXTS[1]},
        {"role": "user", "content": TEXTS[0][:200]},
    ],
    "tools": [
        {
            "type": "function",
            "function": {"name": "label", "description": "Writes a label down.", "parameters": SCHEMA},
        }
    ],
    "max_completion_tokens": 300,
}
DIALECTS = tuple(dialect for dialect in Dialect if dialect.generates)


def cost_us(work: Callable[[], object]) -> float:
    """Median CPU time of one call, in microseconds."""
    taken = []
    for _ in range(ROUNDS):
        begun = time.process_time_ns()
        for _ in range(CALLS):
            work()
        taken.append((time.process_time_ns() - begun) / CALLS / 1000)
    return statistics.median(taken)


def request_cost(raw: bytes, source: Dialect, target: Dialect) -> float:
    """Parse, translate, serialise."""

    def work() -> bytes:
        body: Any = exact(raw)
        return written(translate_request(body, source=source, target=target, model="m", on_loss="drop").body)

    return cost_us(work)


def answer_cost(raw: bytes, protocol: Dialect, dialect: Dialect, request: dict[str, Any]) -> float:
    """Parse, understand, render, serialise."""

    def work() -> bytes:
        return written(render_response(parse_response(protocol, 200, {}, raw), dialect=dialect, request=request))

    return cost_us(work)


def main() -> int:
    collect_rarely()  # as every worker does
    requests = {Dialect.OPENAI_CHAT: orjson.dumps(CHAT)}
    for dialect in DIALECTS[1:]:
        body = translate_request(CHAT, source=Dialect.OPENAI_CHAT, target=dialect, model="m").body
        requests[dialect] = written(body)
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": TEXTS[1] * 2},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 400, "completion_tokens": 80, "total_tokens": 480},
    }
    understood = parse_response(Dialect.OPENAI_CHAT, 200, {}, orjson.dumps(answer))
    answers = {dialect: written(render_response(understood, dialect=dialect, request=CHAT)) for dialect in DIALECTS}
    worst = 0.0
    for what, cost in (("request", request_cost), ("answer", None)):
        print(f"{what}, µs of CPU{'':22}" + "".join(f"{target.value:>25}" for target in DIALECTS))
        for source in DIALECTS:
            size = len(requests[source] if what == "request" else answers[source])
            row = []
            for target in DIALECTS:
                if cost is not None:
                    row.append(cost(requests[source], source, target))
                else:
                    row.append(answer_cost(answers[source], source, target, orjson.loads(requests[target])))
            worst = max(worst, *row)
            print(f"  from {source.value:<23} ({size:5} B)" + "".join(f"{each:25.1f}" for each in row))
    print(f"\nslowest {worst:.1f} µs; the gate is {GATE_US:g}")
    return worst > GATE_US


if __name__ == "__main__":
    sys.exit(main())
