"""Drain a batch through a provider that keeps failing, and compare our ledger with the provider's.

    python benchmarks/faults.py                      # 10,000 jobs, 10 % of all calls go wrong, SQLite
    python benchmarks/faults.py --mixed              # the accounts speak three protocols
    python benchmarks/faults.py --database postgresql://postgres@127.0.0.1:5432/penstock_faults

Faults of every kind that an account survives, evenly mixed; at most two unknown endings and one malformed answer
for each job, which is what the default policy forgives. Four accounts, one of whose keys is revoked on the way.
To the simulator a job is another request in each protocol, so that a mixed pool needs a more patient policy.
The database must not exist yet. Exit status 1 when a promise was broken; the last line is JSON.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from proof import account, fresh, judged, prepare, show

from broker.testing.simulator import simulator

KINDS = (
    *("rate_limited", "rate_limited_no_hint"),
    *("server_error", "bad_gateway", "unavailable", "overloaded", "site_overloaded"),
    *("reset_before", "reset_after", "hang", "cut_body"),
    *("html_page", "error_object", "empty_body", "wrong_shape"),
    "slow_drip",
)
KEYS = ("north", "east", "south", "west")
REVOKED = "east"
PROVIDERS = {"north": "openai-compatible", "east": "anthropic", "south": "anthropic", "west": "gemini"}
"""What the accounts of a mixed pool speak."""
PATIENCE = "[run]\nretries = { transient = 12, unknown = 6, malformed = 3 }\n"
TIMEOUT_S = 3.0
"""Above a slow drip: some 500 bytes, a millisecond apart."""
FINISH_S = 600.0
SIM = """
seed = {seed}
latency = {{ first_token_s = 0.05, sigma = 0.5 }}
usage = {{ cached_share = 0.3, reasoning_share = 0.2 }}

[faults]
probability = {{ {probability} }}
at_most_per_request = {{ unknown = 2, malformed = 1, server = 4 }}
also_paid = ["hang", "html_page", "wrong_shape"]
drip_interval_s = 0.001
retry_after_s = 0.3

{keys}
"""


def simulated(seed: int, share: float, jobs: int) -> str:
    """The simulator's configuration: every fault equally likely, and one key that ends half way through its share."""
    probability = ", ".join(f"{kind} = {share / len(KINDS):.6f}" for kind in KINDS)
    keys = "\n".join(
        f'[[keys]]\nname = "{key}"\n' + (f"revoked_after_calls = {jobs // 8}\n" if key == REVOKED else "")
        for key in KEYS
    )
    return SIM.format(seed=seed, probability=probability, keys=keys)


def pool(url: str, folder: Path, concurrency: int, *, mixed: bool) -> str:
    """The configuration of all accounts."""
    accounts = (
        account(
            key,
            url if mixed and PROVIDERS[key] in ("anthropic", "gemini") else f"{url}/v1",
            folder,
            concurrency=concurrency,
            more=f"timeout_seconds = {TIMEOUT_S}",
            provider=PROVIDERS[key] if mixed else "openai-compatible",
        )
        for key in KEYS
    )
    return (PATIENCE if mixed else "") + "".join(accounts)


def main() -> int:
    parser = argparse.ArgumentParser(description="Drain a batch through faults, and count what was paid for.")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=0.1, help="of all calls that go wrong")
    parser.add_argument("--concurrency", type=int, default=64, help="calls in flight per account")
    parser.add_argument("--mixed", action="store_true", help="accounts of three protocols")
    parser.add_argument("--database", help="default: a SQLite file in a temporary folder")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="penstock-faults-") as name:
        folder = Path(name)
        with (
            fresh(asked.database or f"sqlite:///{folder}/faults.db") as database,
            simulator(folder, simulated(asked.seed, asked.share, asked.jobs)) as sim,
        ):
            accounts = pool(sim.url, folder, asked.concurrency, mixed=asked.mixed)
            trial = prepare(folder, database, accounts, jobs=asked.jobs)
            begun = time.perf_counter()
            status = trial.start().wait(FINISH_S)
            seconds = time.perf_counter() - begun
            judgement = judged(trial, sim.ledger())
            stats = sim.stats()
            broken = list(judgement.broken)
            if status:
                broken.append(f"the run ended with status {status}: {trial.log()[-500:]}")
            if not stats["keys"][REVOKED]["rejected"].get("revoked"):
                broken.append(f"the key {REVOKED} was not revoked on the way")
            if missed := set(KINDS) - stats["faults"].keys():
                broken.append(f"faults that never happened: {', '.join(sorted(missed))}")
    figures = {
        "database": "PostgreSQL" if asked.database else "SQLite",
        "accounts": sorted(set(PROVIDERS.values())) if asked.mixed else "of one protocol",
        "faults": stats["faults"],
        "rejected": stats["rejected"],
        "unused paid calls by what spoilt them": judgement.extra_by_outcome,
        **judgement.as_json(),
        "seconds": round(seconds, 1),
    }
    return show({name: value for name, value in figures.items() if name != "broken"}, broken)


if __name__ == "__main__":
    sys.exit(main())
