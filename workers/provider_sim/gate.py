"""The gate of one key: its buckets and slots, and what each call is charged."""

from dataclasses import dataclass
from enum import StrEnum

from workers.provider_sim.bucket import Bucket
from workers.provider_sim.config import KeyConfig


class Limit(StrEnum):
    """What a key may run out of."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    """Input and output together."""
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    CONCURRENCY = "concurrency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a call asks for, in tokens; `None`: it names no maximum."""

    input_tokens: int
    max_output_tokens: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """Why a call was not admitted."""

    limit: Limit
    allowed: float
    """Per minute; calls at once for slots."""
    used: float
    requested: float
    wait_s: float | None
    """Seconds until the same call would be admitted; `None`: nobody knows, or never."""
    never: bool = False
    """The call is larger than the limit itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One bucket, as the rate limit headers tell it."""

    limit: Limit
    allowed: float
    remaining: float
    reset_s: float
    """Seconds until the bucket is full."""


class Gate:
    """Admits calls of one key; every time is in seconds since the simulator's start."""

    def __init__(self, config: KeyConfig, now: float) -> None:
        rates = {
            Limit.REQUESTS: config.requests_per_minute,
            Limit.TOKENS: config.tokens_per_minute,
            Limit.INPUT_TOKENS: config.input_tokens_per_minute,
            Limit.OUTPUT_TOKENS: config.output_tokens_per_minute,
        }
        self._buckets = {
            limit: Bucket(
                per_minute=rate,
                window_s=config.window_s,
                now=now,
                full=config.start == "full",
                smallest=1.0 if limit is Limit.REQUESTS else 0.0,
            )
            for limit, rate in rates.items()
            if rate is not None
        }
        self._slots = config.concurrency
        self._counts_rejected = config.rejected_requests_count
        self._charges_maximum = config.charge_mode == "max_once"
        self._default_maximum = config.default_max_tokens
        self.in_flight = 0

    def admit(self, need: Need, now: float) -> Denial | None:
        """Take what the call is charged at admission and a slot, or nothing and say why."""
        if self._slots is not None and self.in_flight >= self._slots:
            self._reject(now)
            slots = float(self._slots)
            return Denial(
                limit=Limit.CONCURRENCY, allowed=slots, used=float(self.in_flight), requested=1.0, wait_s=None
            )
        if self._buckets:
            charges = self._charges(need)
            denial = self._denial(charges, now)
            if denial is not None:
                self._reject(now)
                return denial
            for limit, charge in charges.items():
                self._buckets[limit].take(charge, now)
        self.in_flight += 1
        return None

    def leave(self) -> None:
        """Free the slot of an admitted call."""
        self.in_flight -= 1

    def produced(self, output_tokens: int, now: float) -> None:
        """Charge the output that was really generated, unless the maximum was charged before."""
        if not self._charges_maximum:
            for limit in (Limit.TOKENS, Limit.OUTPUT_TOKENS):
                if limit in self._buckets:
                    self._buckets[limit].take(output_tokens, now)

    def refund(self, need: Need, now: float) -> None:
        """Give back the tokens of an admitted call that generated nothing; the request counts."""
        for limit, charge in self._charges(need).items():
            if limit is not Limit.REQUESTS:
                self._buckets[limit].give_back(charge, now)

    def levels(self, now: float) -> list[Level]:
        """Every bucket, told so that reset = (allowed - remaining) / rate whatever the window is."""
        return [
            Level(
                limit=limit,
                allowed=bucket.per_minute,
                remaining=max(0.0, bucket.per_minute - bucket.missing(now)),
                reset_s=bucket.missing(now) / bucket.rate,
            )
            for limit, bucket in self._buckets.items()
        ]

    def _charges(self, need: Need) -> dict[Limit, float]:
        output = 0
        if self._charges_maximum:
            output = self._default_maximum if need.max_output_tokens is None else need.max_output_tokens
        charges = {
            Limit.REQUESTS: 1.0,
            Limit.TOKENS: float(need.input_tokens + output),
            Limit.INPUT_TOKENS: float(need.input_tokens),
            Limit.OUTPUT_TOKENS: float(output),
        }
        return {limit: charges[limit] for limit in self._buckets}

    def _denial(self, charges: dict[Limit, float], now: float) -> Denial | None:
        """Return the limit that takes longest to admit the call, if any has to."""
        worst: Denial | None = None
        for limit, charge in charges.items():
            bucket = self._buckets[limit]
            if limit is not Limit.REQUESTS and charge > bucket.per_minute:
                return Denial(
                    limit=limit, allowed=bucket.per_minute, used=0.0, requested=charge, wait_s=None, never=True
                )
            # Output that is charged as it is produced only needs a bucket that is not empty.
            wait_s = bucket.wait_for(max(charge, 1.0), now)
            if wait_s > 0 and (worst is None or worst.wait_s is None or wait_s > worst.wait_s):
                used = bucket.per_minute - max(0.0, float(int(bucket.level(now))))
                worst = Denial(limit=limit, allowed=bucket.per_minute, used=used, requested=charge, wait_s=wait_s)
        return worst

    def _reject(self, now: float) -> None:
        if self._counts_rejected and Limit.REQUESTS in self._buckets:
            self._buckets[Limit.REQUESTS].penalise(1.0, now)
