"""Predicts tokens without a tokenizer: cheap facts of a request in, running regressions and means inside.

Input tokens: per model and content class, exponentially weighted least squares of tokens on (size, messages, 1),
pulled toward a prior. Output tokens: the mean of the batch, pulled toward the mean of the model.
"""

from dataclasses import dataclass
from typing import TypeVar

from broker.domain.usage import Usage
from broker.limits.facts import RequestFacts
from broker.limits.regression import Regression

K = TypeVar("K")
V = TypeVar("V")

_UNKNOWN_OUTPUT = 256.0
"""Output tokens to expect when nothing at all is known."""
_SHORT_ANSWER = 16.0
"""An allowance up to this is expected to be used up."""
_COLD_SHARE = 0.25
"""Share of `max_tokens` to expect from a model that has not answered yet."""
_SHRINKAGE = 20.0
"""Answers after which a batch's own mean weighs as much as its model's."""
_BATCH_MEMORY = 1000
_MODEL_MEMORY = 100
"""Answers over which the means run: longer ones follow a drift more slowly."""
_MOST_KEYS = 4096
"""Batches, and models, remembered at once; the oldest are forgotten first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Tokens that a call will probably take; expected values, except for `max_tokens`."""

    input_tokens: float
    output_tokens: float
    max_tokens: int | None
    """The most that all answers of the call together may take; `None`: the request sets no limit."""


class _Mean:
    """A running mean over at most `memory` values."""

    __slots__ = ("count", "memory", "value")

    def __init__(self, memory: int) -> None:
        self.count = 0
        self.value = 0.0
        self.memory = memory

    def add(self, value: float) -> None:
        if self.count < self.memory:
            self.count += 1
        self.value += (value - self.value) / self.count


class Estimator:
    """Learns from reported usage; bounded in memory, deterministic in its inputs."""

    __slots__ = ("_batches", "_inputs", "_models")

    def __init__(self) -> None:
        self._inputs: dict[tuple[str, str], Regression] = {}
        self._models: dict[str, _Mean] = {}
        self._batches: dict[tuple[int, str, int | None], _Mean] = {}

    def estimate(self, facts: RequestFacts) -> Estimate:
        """Predict what a call will take."""
        regression = self._inputs.get((facts.model, facts.content))
        if regression is None:
            regression = Regression(facts.content)  # nothing is remembered here: threads may ask, too
        return Estimate(
            input_tokens=regression.predict(facts.size_bytes, facts.messages),
            output_tokens=self._output(facts),
            max_tokens=facts.max_tokens,
        )

    def learn(self, facts: RequestFacts, usage: Usage) -> None:
        """Take over what a call really took; unknown parts teach nothing."""
        if usage.input_tokens:
            self._regression(facts).learn(facts.size_bytes, facts.messages, usage.input_tokens)
        output = usage.output_tokens
        if output is None or not facts.generates:
            return
        model = self._models.get(facts.model)
        if model is None:
            model = _remember(self._models, facts.model, _Mean(_MODEL_MEMORY))
        model.add(output)
        key = (facts.batch_id, facts.model, facts.max_tokens)
        batch = self._batches.get(key)
        if batch is None:
            batch = _remember(self._batches, key, _Mean(_BATCH_MEMORY))
        batch.add(output)

    def _output(self, facts: RequestFacts) -> float:
        if not facts.generates:
            return 0.0
        most = facts.max_tokens
        model = self._models.get(facts.model)
        if model is not None:
            expected = model.value
        elif most is not None:
            expected = max(_SHORT_ANSWER, _COLD_SHARE * most)
        else:
            expected = _UNKNOWN_OUTPUT
        batch = self._batches.get((facts.batch_id, facts.model, most))
        if batch is not None:
            expected += (batch.value - expected) * batch.count / (batch.count + _SHRINKAGE)
        return expected if most is None or expected < most else float(most)

    def _regression(self, facts: RequestFacts) -> Regression:
        key = (facts.model, facts.content.value)
        found = self._inputs.get(key)
        return found or _remember(self._inputs, key, Regression(facts.content))


def _remember(known: dict[K, V], key: K, value: V) -> V:
    if len(known) >= _MOST_KEYS:
        del known[next(iter(known))]
    known[key] = value
    return value
