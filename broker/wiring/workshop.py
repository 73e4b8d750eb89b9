"""Makes the benches of one process: what all its workers share, and what each has for itself."""

import itertools
import random
from collections.abc import Sequence
from functools import cache

from broker.accounting.pricing import Pricing
from broker.domain.account import Account
from broker.domain.clock import Clock
from broker.domain.outcome import RetryPolicy
from broker.domain.route import Routes, model_of
from broker.limits.estimate import Estimator
from broker.limits.port import Limiter
from broker.secrets import read_secret
from broker.store.claim import Claimant
from broker.store.engine import Database
from broker.wiring.known_models import known_caps
from workers.account_health import AccountHealth
from workers.bench import Bench, Watch
from workers.calls import Calls, account_headers
from workers.effort import Effort
from workers.heartbeat import Heartbeat
from workers.interpreter import Interpreter
from workers.judge import Judge
from workers.probing import Probing
from workers.recorder import Recorder
from workers.reporting import Reporter
from workers.solo import Solo


class Workshop:
    """Reads the secret of an account when, and only when, its bench is made."""

    def __init__(
        self,
        *,
        database: Database,
        limiter: Limiter,
        recorder: Recorder,
        accounts: Sequence[Account],
        policy: RetryPolicy,
        clock: Clock,
        process_id: str,
        watch: Watch,
    ) -> None:
        """Take what all benches share; `accounts` are those of the whole pool, whoever works them."""
        self._database = database
        self._limiter = limiter
        self._recorder = recorder
        self._accounts = accounts
        self._routes = Routes(accounts)
        self._policy = policy
        self._clock = clock
        self._process_id = process_id
        self._watch = watch
        self._estimator = Estimator()
        self._pricing = Pricing(accounts)
        self._solo = Solo()
        self._effort = Effort(clock)
        self._attempts = itertools.count(1)

    def bench(self, account: Account) -> Bench:
        """Make the bench of one account; must be called in the running loop, and its calls be closed."""
        worker_id = f"{self._process_id}-{account.name}"
        secret = read_secret(account.secret) if account.secret else None
        calls = Calls(account_headers(account, secret), secret=secret, timeout_seconds=account.timeout_seconds)
        others = {a.name: self._routes.of(a) for a in self._accounts if a is not account}
        return Bench(
            account=account,
            interpreter=Interpreter(account, caps=known_caps(account)),
            reporter=Reporter(
                account=account,
                pricing=self._pricing,
                model_of=lambda route: model_of(route, account.models),
                clock=self._clock,
            ),
            judge=Judge(account=account, masking=calls.masking, estimator=self._estimator),
            header_dialect=account.facts.header_dialect,
            claimant=Claimant(worker_id=worker_id, account=account.name, provider=account.provider),
            calls=calls,
            probing=Probing(account, calls, self._clock),
            limiter=self._limiter,
            estimator=self._estimator,
            database=self._database,
            recorder=self._recorder,
            heartbeat=Heartbeat(self._database, worker_id, account.name, self._clock),
            health=AccountHealth(self._policy),
            solo=self._solo,
            policy=self._policy,
            clock=self._clock,
            effort=self._effort,
            random=random.random,
            new_id=self._new_attempt_id,
            model_of=lambda route: model_of(route, account.models),
            routes=self._routes.of(account),
            others=cache(lambda route: frozenset(name for name, routes in others.items() if route in routes)),
            watch=self._watch,
        )

    def _new_attempt_id(self) -> str:
        """Unique over all processes: the process's own random id, and a count."""
        return f"att_{self._process_id}_{next(self._attempts)}"
