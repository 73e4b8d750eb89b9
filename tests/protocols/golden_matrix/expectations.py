"""What every documented body becomes at every target: computed, and spelled as the files in `expected` have it.

A file per body, with an entry per target, and one more per named model where the body is about something that models
differ in. An entry holds what is sent (`path`, `headers`, `fan_out`, `body`) and its `warnings`, or the losses for
which it is `refused`; where both settings of `on_loss` differ, one under `fail` and one under `drop`. An entry that is
the same as that of the model that nobody knows says so.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from broker.catalog.model_facts import facts_by_name
from broker.domain.caps import Caps
from broker.domain.dialect import Dialect
from broker.domain.loss import Loss, OnLoss
from broker.protocols import Translation, UntranslatableRequest, translate_request
from broker.protocols.exact_json import exact, written
from broker.protocols.registry import codec_of

HERE = Path(__file__).parent
BODIES = HERE.parent / "golden"
EXPECTED = HERE / "expected"

NOBODY_KNOWS = "some-model"
NAMED: Mapping[Dialect, tuple[str, ...]] = {
    Dialect.OPENAI_CHAT: ("gpt-4.1", "gpt-5"),
    Dialect.OPENAI_RESPONSES: ("gpt-5",),
    Dialect.OPENAI_EMBEDDINGS: (),
    Dialect.ANTHROPIC_MESSAGES: ("claude-sonnet-4-5", "claude-opus-4-8"),
    Dialect.GEMINI_GENERATE_CONTENT: ("gemini-2.5-flash", "gemini-3-pro-preview"),
}
_MODELS_DIFFER_IN = re.compile(
    r"think|thought|reason|effort|sampling|temperature|system_in_mid|system_after|prefill|assistant_last|verbosity|stop|choices|"
    r"candidates|schema|penalties|seed|logprobs|limit|strict|cache|identity|tool_choice"
)
_AS_ANY = "as of any model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Documented:
    """A body from a vendor's documentation."""

    dialect: Dialect
    name: str
    body: Mapping[str, Any]

    @property
    def expectation(self) -> Path:
        return EXPECTED / self.dialect / f"{self.name}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One translation of the matrix."""

    target: Dialect
    model: str
    on_loss: OnLoss

    @property
    def entry(self) -> str:
        return self.target if self.model == NOBODY_KNOWS else f"{self.target}: {self.model}"


@cache
def documented() -> tuple[Documented, ...]:
    """All bodies, their numbers as they are spelled."""
    return tuple(
        Documented(dialect=dialect, name=path.stem, body=cast("dict[str, Any]", exact(path.read_bytes()))["body"])
        for dialect in Dialect
        for path in sorted((BODIES / dialect).glob("*.json"))
    )


def cases(source: Documented) -> Iterator[Case]:
    """Every other dialect that can take a body at all, with every model that matters."""
    vectors = _asks_for_vectors(source)
    for target in Dialect:
        codec = codec_of(target)
        takes = codec.write_embedding if vectors else codec.write_request
        if target is source.dialect or takes is None:
            continue
        models = NAMED[target] if _MODELS_DIFFER_IN.search(source.name) else ()
        for model in (NOBODY_KNOWS, *models):
            for on_loss in OnLoss:
                yield Case(target=target, model=model, on_loss=on_loss)


def _asks_for_vectors(source: Documented) -> bool:
    return source.dialect is Dialect.OPENAI_EMBEDDINGS or not source.body.keys().isdisjoint({"content", "requests"})


def translated(source: Documented, case: Case) -> Translation | UntranslatableRequest:
    """What becomes of a body."""
    facts = facts_by_name(case.model, case.target)
    caps: Caps | None = codec_of(case.target).caps.amended(facts) if facts else None
    try:
        return translate_request(
            source.body,
            source=source.dialect,
            target=case.target,
            model=case.model,
            on_loss=case.on_loss,
            caps=caps,
        )
    except UntranslatableRequest as refused:
        return refused


def computed(source: Documented) -> str:
    """The file of a body, as the code has it."""
    entries: dict[str, Any] = {}
    told: dict[str, dict[OnLoss, dict[str, Any]]] = {}
    for case in cases(source):
        told.setdefault(case.entry, {})[case.on_loss] = _told(translated(source, case))
    for entry, by_loss in told.items():
        target, _, model = entry.partition(": ")
        if model and _indented(by_loss).replace(model, NOBODY_KNOWS) == _indented(told[target]):
            entries[entry] = _AS_ANY
        elif _indented(by_loss[OnLoss.FAIL]) == _indented(by_loss[OnLoss.DROP]):
            entries[entry] = by_loss[OnLoss.FAIL]
        else:
            entries[entry] = by_loss
    return _indented(entries) + "\n"


def _told(result: Translation | UntranslatableRequest) -> dict[str, Any]:
    if isinstance(result, UntranslatableRequest):
        return {"refused": _losses(result.losses)}
    told: dict[str, Any] = {"path": result.path}
    if result.headers:
        told["headers"] = dict(result.headers)
    if result.fan_out != 1:
        told["fan_out"] = result.fan_out
    if result.names:
        told["names"] = dict(result.names)
    told["body"] = result.body
    return told | {"warnings": _losses(result.warnings)}


def _losses(losses: Sequence[Loss]) -> list[str]:
    return [f"{loss.loss_class} {loss.code} at {loss.path or '/'}: {loss.detail}" for loss in losses]


def _indented(value: Any, margin: str = "") -> str:
    """JSON for people, with numbers as they are spelled; what fits a line is one."""
    line = written(value).decode("utf-8", "surrogatepass")
    if len(line) + len(margin) <= 110 or not value or not isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else line
    inside = f"{margin} "
    if isinstance(value, Mapping):
        members = [f"{json.dumps(key)}: {_indented(inner, inside)}" for key, inner in value.items()]
        opening, closing = "{}"
    else:
        members = [_indented(inner, inside) for inner in value]
        opening, closing = "[]"
    separator = f",\n{inside}"
    return f"{opening}\n{inside}{separator.join(members)}\n{margin}{closing}"
