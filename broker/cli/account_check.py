"""Tries accounts with one tiny call each, and puts what comes back into words with a remedy."""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson

from broker.domain.account import Account
from broker.domain.attempt import CallError, ErrorClass
from broker.domain.caps import Caps
from broker.domain.clock import Clock
from broker.domain.dialect import spoken
from broker.domain.job import Endpoint, Job, JobKey
from broker.domain.provider import reconsidered
from broker.errors import ConfigError
from broker.secrets import read_secret
from broker.wiring.known_models import known_caps
from workers.calls import CALL_ID_HEADER, Calls, account_headers
from workers.capabilities import UNKNOWN, Capabilities
from workers.classify import Verdict, classify
from workers.endings import Responded
from workers.interpreter import Interpreter
from workers.probing import probe

_LONGEST_S = 60.0
_ANSWER_TOKENS = 16
"""Small, yet enough that reasoning models do not refuse it."""
_PERHAPS_EMBEDDINGS = frozenset({ErrorClass.INVALID_REQUEST, ErrorClass.NOT_FOUND})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one account's call showed."""

    account: str
    model: str
    """The logical model that was asked."""
    ok: bool
    words: str
    """What is the matter and what to do; for people."""
    server: Capabilities | None = None
    """What a self-hosted server says of itself; `None`: it was not asked, or says nothing."""


async def check_accounts(accounts: Sequence[Account], clock: Clock) -> list[Finding]:
    """Check all accounts at the same time; the findings are in their order. Raises nothing but `CancelledError`."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(check_account(account, clock)) for account in accounts]
    return [task.result() for task in tasks]


async def check_account(account: Account, clock: Clock) -> Finding:
    """Ask the account's first model for a few tokens, or for a vector if it does not chat."""
    model = next(iter(account.models))
    try:
        secret = read_secret(account.secret) if account.secret is not None else None
    except ConfigError as error:
        return Finding(account=account.name, model=model, ok=False, words=str(error))
    seconds = min(account.timeout_seconds, _LONGEST_S)
    started = clock.monotonic()
    async with Calls(account_headers(account, secret), secret=secret, timeout_seconds=seconds) as calls:
        verdict = await _asked(calls, account, model, clock)
        taken = clock.monotonic() - started
        server = await probe(account, calls)  # behind the call: now the model is loaded
    wrong = verdict.error
    said = f"{model} answered in {taken:.2f} s" if wrong is None else _words(account, wrong, model)
    return Finding(
        account=account.name,
        model=model,
        ok=wrong is None,
        words="; ".join(filter(None, (said, _about(server, account)))),
        server=None if server == UNKNOWN else server,
    )


def _about(server: Capabilities, account: Account) -> str:
    """What a server says of itself, and where the account's settings do not fit it."""
    words = server.words_for(account.models.values())
    declared = account.limits.concurrency
    if server.slots is not None and declared is not None and declared > server.slots:
        words += f"; limits.concurrency is {declared}, which is more than its slots"
    return words


async def _asked(calls: Calls, account: Account, model: str, clock: Clock) -> Verdict:
    """Ask for text if the account gives any, and for a vector where it gives none, or this model does not."""
    first, *rest = [
        endpoint
        for endpoint in (Endpoint.CHAT_COMPLETIONS, Endpoint.EMBEDDINGS)
        if spoken(endpoint.dialect, generates=endpoint.generates, protocols=account.protocols) is not None
    ]
    verdict = await _ask(calls, account, model, first, clock)
    if rest and verdict.error is not None and verdict.error.error_class in _PERHAPS_EMBEDDINGS:
        second = await _ask(calls, account, model, rest[0], clock)
        return second if second.error is None else verdict
    return verdict


async def _ask(calls: Calls, account: Account, model: str, endpoint: Endpoint, clock: Clock) -> Verdict:
    """Say a tiny job in the account's own protocol, and make its call."""
    caps = known_caps(account)
    request = _request(endpoint, caps(model, endpoint.dialect))
    job = Job(key=JobKey(0, 0), custom_id="check", endpoint=endpoint, route=model, body=orjson.dumps(request))
    said = Interpreter(account, caps=caps).said(job, request, logical=model, model=account.models[model])
    ending = await calls.post(said.url, {CALL_ID_HEADER: str(uuid.uuid4()), **said.headers}, said.body)
    if isinstance(ending, Responded):  # a success is not masked by then, and may be none
        ending = calls.masking.response(ending)
    verdict = classify(ending, said, now=clock.now())
    if verdict.error is None:
        return verdict
    return replace(verdict, error=reconsidered(verdict.error, account.facts.quirks))


def _request(endpoint: Endpoint, caps: Caps) -> dict[str, object]:
    if not endpoint.generates:
        return {"model": "-", "input": "ok"}
    message = {"role": "user", "content": "Say ok."}
    return {"model": "-", "messages": [message], caps.output_limit_field: _ANSWER_TOKENS}


def _words(account: Account, error: CallError, model: str) -> str:
    status = f"status {error.status}: " if error.status is not None else ""
    said = error.message.strip().rstrip(".")
    wants_key = error.error_class is ErrorClass.AUTHENTICATION and account.secret is None
    meaning = _WANTS_KEY if wants_key else MEANINGS[error.error_class]
    meaning = meaning.format(key=account.secret, model=account.models[model], url=account.base_url)
    return f"{meaning} ({status}{said})"


_WANTS_KEY = "it wants a key; add api_key to the account"
_BUSY = "the key works, but its rate limit is used up right now; check what else uses it, and its limits"
_SILENT = "no complete answer came in time; check base_url, or try again when the provider is less busy"
_FAULT = "the provider has a fault of its own; try again later"
_UNFIT = "the request is refused: {model} takes neither a tiny chat nor a tiny embedding"
_NOT_MADE = "the call was not made; try again"
MEANINGS = {
    ErrorClass.AUTHENTICATION: "the key is refused; check {key} and that it belongs to {url}",
    ErrorClass.PERMISSION: "the key may not use {model}; check its project, region and rights",
    ErrorClass.NOT_FOUND: "no model {model} at {url}; check models and base_url",
    ErrorClass.CONNECTION: "cannot connect to {url}; check base_url, the network, and that the server runs",
    ErrorClass.RATE_LIMITED: _BUSY,
    ErrorClass.RAMP: _BUSY,
    ErrorClass.DAILY_QUOTA: "the key works, but today's quota is used up; declare it under limits",
    ErrorClass.SPEND: "the key works, but there is no credit left; check the provider's billing page",
    ErrorClass.OVERLOADED: _FAULT,
    ErrorClass.SERVER_ERROR: _FAULT,
    ErrorClass.OUTAGE: _FAULT,
    ErrorClass.TIMEOUT: _SILENT,
    ErrorClass.OUTCOME_UNKNOWN: _SILENT,
    ErrorClass.MALFORMED_ANSWER: "something answers, but not as the protocol wants; check how base_url must end",
    ErrorClass.INVALID_REQUEST: _UNFIT,
    ErrorClass.TOO_LARGE: _UNFIT,
    ErrorClass.CONTENT_FILTER: _UNFIT,
    ErrorClass.UNTRANSLATABLE: _UNFIT,
    ErrorClass.ABORTED: _NOT_MADE,
    ErrorClass.NEVER_SENT: _NOT_MADE,
    ErrorClass.LOST: _NOT_MADE,
    ErrorClass.WORKER_CRASH: _NOT_MADE,
}
"""What each kind of failure means to whoever set the account up, and the remedy."""
