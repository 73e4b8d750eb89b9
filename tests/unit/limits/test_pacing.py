"""The share of a server's limit that pacing reaches, in simulated time against simple servers."""

import random
from heapq import heappop, heappush

import pytest

from broker.domain.account import Limits
from broker.limits.bucket import Bucket
from broker.limits.learned import Learner
from broker.limits.port import Ask, Charge, Observation, Resource, Settled, Settlement


class Server:
    """A token bucket of `capacity` that refills by `rate` a second."""

    def __init__(self, rate: float, capacity: float) -> None:
        self.rate, self.capacity, self.level, self.at = rate, capacity, capacity, 0.0

    def admits(self, now: float, need: float) -> bool:
        self.level = min(self.capacity, self.level + self.rate * max(0.0, now - self.at))
        self.at = max(self.at, now)
        if self.level < min(need, self.capacity):
            return False
        self.level -= need
        return True


def test_pacing_reaches_98_percent_of_a_one_second_bucket_with_almost_no_refusals() -> None:
    chance = random.Random(7)
    bucket = Bucket(Limits(requests_per_minute=6000), 0.0)
    arrivals: list[tuple[float, str]] = []
    now, count = 0.0, 0
    while now < 30.0:
        asks = [Ask(reservation_id=f"{count}-{index}", need=Charge()) for index in range(16)]
        count += 1
        granted = bucket.reserve(now, asks, horizon_s=0.25)
        for grant in granted.grants:
            jitter = 0.03 + chance.expovariate(1 / 0.02)
            arrivals.append((max(now, grant.start_at) + jitter, grant.reservation_id))
        if granted.retry_in is not None:
            # Every now and then the event loop is busy for a while.
            now += granted.retry_in + chance.choice([0.0, 0.0, 0.01, 0.15])
    server = Server(rate=100.0, capacity=100.0)
    accepted = refused = 0
    for at, _ in sorted(arrivals):
        admitted = server.admits(at, 1.0)
        if 1.0 <= at < 30.0:
            accepted += admitted
            refused += not admitted
    assert accepted >= 0.98 * 100.0 * 29.0
    assert refused <= 2 * accepted / 1000


@pytest.mark.parametrize("tells_sent_at", [True, False])
@pytest.mark.parametrize("latency_s", [0.2, 3.0])
def test_following_the_headers_of_a_small_server_bucket_costs_no_throughput(
    latency_s: float, tells_sent_at: bool
) -> None:
    chance = random.Random(13)
    bucket, learner, server = Bucket(Limits(requests_per_minute=6000), 0.0), Learner(), Server(100.0, 100.0)
    arrivals: list[tuple[float, float, str]] = []
    answers: list[tuple[float, float, str, float]] = []
    asking, count, accepted, refused = 0.0, 0, 0, 0
    while asking < 30.0:
        now = min(asking, *(events[0][0] for events in (arrivals, answers) if events), 30.0)
        if arrivals and arrivals[0][0] == now:
            _, sent_at, name = heappop(arrivals)
            admitted = server.admits(now, 1.0)
            accepted += admitted and now >= 1.0
            refused += not admitted
            heappush(answers, (now + latency_s, sent_at, name, float(int(server.level))))
        elif answers and answers[0][0] == now:
            _, sent_at, name, remaining = heappop(answers)
            bucket.settle(now, [Settlement(reservation_id=name, how=Settled.USED)])
            seen = Observation(resource=Resource.REQUESTS, limit=6000.0, remaining=remaining, reset_s=None)
            learner.observe(bucket, now, [seen], sent_at=sent_at if tells_sent_at else now)
        else:
            asks = [Ask(reservation_id=f"{count}-{index}", need=Charge()) for index in range(16)]
            count += 1
            granted = bucket.reserve(now, asks, horizon_s=0.25)
            for grant in granted.grants:
                jitter = 0.03 + chance.expovariate(1 / 0.02)
                heappush(arrivals, (grant.start_at + jitter, grant.start_at, grant.reservation_id))
            asking = now + (granted.retry_in or 0.0)
    assert accepted >= 0.98 * 100.0 * 29.0
    assert refused <= 2 * accepted / 1000


def test_predicted_output_settled_with_the_real_one_uses_the_whole_token_limit() -> None:
    chance = random.Random(11)
    bucket = Bucket(Limits(tokens_per_minute=600_000), 0.0)
    running: list[tuple[float, str, Charge]] = []
    now, count, used = 0.0, 0, 0.0
    while now < 300.0:
        for _, name, actual in [entry for entry in running if entry[0] <= now]:
            bucket.settle(now, [Settlement(reservation_id=name, how=Settled.USED, actual=actual)])
        running = [entry for entry in running if entry[0] > now]
        need = Charge(input_tokens=500, output_tokens=300)
        asks = [Ask(reservation_id=f"{count}-{index}", need=need) for index in range(16)]
        count += 1
        for grant in bucket.reserve(now, asks, horizon_s=0.5).grants:
            output = min(4096.0, chance.lognormvariate(5.2, 1.0))  # a mean near 300
            actual = Charge(input_tokens=500, output_tokens=output)
            used += 500 + output if grant.start_at < 300.0 else 0.0
            running.append((grant.start_at + output / 50.0, grant.reservation_id, actual))
        now += 0.1
    assert 0.97 * 10_000 * 300 <= used <= 1.01 * 10_000 * 300
