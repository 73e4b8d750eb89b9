"""Tokens of a request from its size and its number of messages, learned online."""

from typing import NamedTuple

from broker.limits.facts import Content

_DECAY = 0.98
"""What a sample still weighs after the next one."""
_PRIOR_WEIGHT = 0.1
"""Strength of the prior coefficients, in samples: they decide where the data cannot (all sizes alike)."""
_TRUSTED_AFTER = 50
"""Samples until which the estimate carries a margin of one standard deviation."""
_EVERY = 8
"""Samples between two solutions, once trusted: the coefficients hardly move."""
_COLD_DEVIATION = 0.2


class _Prior(NamedTuple):
    per_kilobyte: float
    per_message: float
    constant: float


_PRIORS: dict[Content, _Prior] = {
    Content.TEXT: _Prior(1000 / 4.0, 4.0, 3.0),
    Content.CODE: _Prior(1000 / 3.0, 4.0, 3.0),
    Content.MULTIBYTE: _Prior(1000 / 2.2, 4.0, 3.0),
    Content.ESCAPED: _Prior(1000 / 6.0, 4.0, 3.0),
    Content.IMAGE: _Prior(2.0, 4.0, 800.0),
}


class Regression:
    """Exponentially weighted least squares with a constant ridge toward a prior.

    Samples weigh by 1 / (1 + kilobytes), because the spread of tokens grows with the size and one huge request
    must not outvote a thousand small ones. The ridge does not decay, so inputs that never vary (one message each)
    leave a well-posed problem for ever, where recursive least squares would blow up.
    """

    __slots__ = ("_coefficients", "_moments", "_prior", "_samples", "_variance")

    def __init__(self, content: Content) -> None:
        self._prior = prior = _PRIORS[content]
        self._coefficients: tuple[float, float, float] = prior
        # Weighted sums of xx, xm, x, mm, m, 1 and xy, my, y (x: kilobytes, m: messages, y: tokens).
        self._moments = (0.0,) * 9
        self._samples = 0
        self._variance = (_COLD_DEVIATION * sum(prior)) ** 2 / 2.0

    def predict(self, size_bytes: int, messages: int) -> float:
        """Predict tokens, at least 1; with a margin while there are few samples."""
        size = size_bytes / 1000.0
        a, b, c = self._coefficients
        tokens = a * size + b * messages + c
        if self._samples < _TRUSTED_AFTER:
            tokens += (self._variance * (1.0 + size)) ** 0.5
        return max(1.0, tokens)

    def learn(self, size_bytes: int, messages: int, tokens: int) -> None:
        """Take in what a request of this size really had."""
        x = size_bytes / 1000.0
        weight = 1.0 / (1.0 + x)
        a, b, c = self._coefficients
        residual = tokens - (a * x + b * messages + c)
        self._samples = samples = self._samples + 1
        share = 1.0 / (samples + 1) if samples < _TRUSTED_AFTER else 1.0 - _DECAY
        self._variance += share * (residual * residual * weight - self._variance)
        wx, wm = weight * x, weight * messages
        xx, xm, x1, mm, m1, n, xy, my, y = self._moments
        self._moments = (
            _DECAY * xx + wx * x,
            _DECAY * xm + wx * messages,
            _DECAY * x1 + wx,
            _DECAY * mm + wm * messages,
            _DECAY * m1 + wm,
            _DECAY * n + weight,
            _DECAY * xy + wx * tokens,
            _DECAY * my + wm * tokens,
            _DECAY * y + weight * tokens,
        )
        if samples < _TRUSTED_AFTER or samples % _EVERY == 0:
            self._coefficients = self._solution()

    def _solution(self) -> tuple[float, float, float]:
        """Solve the 3 x 3 normal equations by elimination; the ridge keeps every pivot above zero."""
        xx, xm, x1, mm, m1, n, xy, my, y = self._moments
        prior = self._prior
        xx += _PRIOR_WEIGHT
        xy += _PRIOR_WEIGHT * prior.per_kilobyte
        f = xm / xx
        g = x1 / xx
        mm += _PRIOR_WEIGHT - f * xm
        m1 -= f * x1
        my += _PRIOR_WEIGHT * prior.per_message - f * xy
        h = m1 / mm
        n += _PRIOR_WEIGHT - g * x1 - h * m1
        y += _PRIOR_WEIGHT * prior.constant - g * xy - h * my
        c = y / n
        b = (my - m1 * c) / mm
        a = (xy - xm * b - x1 * c) / xx
        return a, b, c
