"""What a producer wants, done in one transaction, and the reply to it."""

import asyncio
from collections.abc import Callable
from hashlib import sha256
from itertools import chain
from typing import assert_never

import orjson
from pydantic import BaseModel

from broker.errors import CallerError
from broker.intake.amqp import shapes
from broker.intake.amqp.reading import JobsWanted, MessageRefused, Wanted, read
from broker.intake.segments import SegmentPacker
from broker.store import submissions, subscriptions
from broker.store.engine import Database
from broker.store.segment import SegmentDraft
from broker.store.submissions import Appended, OpenBatch, Sealed, Submission
from broker.transport.public.addresses import Addresses

_LARGE = 64 * 1024
"""Bytes above which a message is read in a thread: the event loop must not wait for it."""


class Acceptance:
    """Accepts messages of known producers."""

    def __init__(
        self,
        database: Database,
        addresses: Addresses,
        routes: frozenset[str],
        on_accepted: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_accepted` is called when a transaction has changed something, so that others look at once."""
        self._database = database
        self._addresses = addresses
        self._routes = routes
        self._on_accepted = on_accepted

    async def accept(self, project: str, message_id: str, body: bytes) -> str:
        """Do what a message wants, once, and return the reply: a repeat gets that of the first time.

        Raises `MessageRefused` and other `CallerError`s, then nothing was done, and `StoreError`.
        """
        submission = Submission(
            project=project, submission_id=message_id, body_hash=f"sha256:{sha256(body).hexdigest()}"
        )
        try:
            if len(body) > _LARGE:
                wanted = await asyncio.to_thread(read, body, routes=self._routes)
            else:
                wanted = read(body, routes=self._routes)
        except MessageRefused:
            # What was accepted once stays accepted, whichever routes there are today
            reply = await self._database.read(submissions.first_reply, submission)
            if reply is not None:
                return reply
            raise
        reply = await self._do(submission, wanted)
        self._on_accepted()
        return reply

    async def _do(self, submission: Submission, wanted: Wanted) -> str:
        match wanted:
            case JobsWanted():
                return await self._append(submission, wanted)
            case shapes.Seal(batch=name):

                def sealed(done: Sealed) -> str:
                    return _accepted(shapes.SealAccepted(batch_id=done.batch_id, batch=name, total=done.total))

                return await self._database.write(submissions.seal, submission, name, sealed)
            case shapes.Subscribe(name=name, batch=batch):
                reply = self._subscribed(submission.project, name, active=True)
                return await self._database.write(subscriptions.subscribe, submission, name, batch, reply)
            case shapes.Unsubscribe(name=name):
                reply = self._subscribed(submission.project, name, active=False)
                return await self._database.write(subscriptions.unsubscribe, submission, name, reply)
            case _:
                assert_never(wanted)

    async def _append(self, submission: Submission, wanted: JobsWanted) -> str:
        head = wanted.head
        name = head.batch or shapes.STANDING[wanted.form]

        def added(done: Appended) -> str:
            return _accepted(
                shapes.JobsAccepted(
                    batch_id=done.batch_id, batch=name, first_position=done.first_position, jobs=done.jobs
                )
            )

        return await self._database.write(
            submissions.append,
            submission,
            OpenBatch(
                project=submission.project,
                name=name,
                dialect=wanted.form,
                source=name,
                tag=head.tag,
                weight=head.weight,
                on_loss=head.on_loss,
                use=head.use,
            ),
            lambda first: _packed(wanted, first),
            added,
            last=head.seal,
            seal_after_s=head.seal_after_s,
        )

    def _subscribed(self, project: str, name: str, *, active: bool) -> str:
        queue = self._addresses.results(project, name)
        return _accepted(shapes.SubscriptionAccepted(subscription=name, queue=queue, active=active))


def refusal(error: CallerError) -> str:
    """The reply to a message of which nothing was accepted."""
    problems = error.problems if isinstance(error, MessageRefused) else ()
    told = shapes.Error(
        code=error.code,
        message=str(error),
        problems=[
            shapes.RowProblem(
                position=problem.position,
                custom_id=problem.custom_id,
                code=problem.code,
                message=problem.message,
            )
            for problem in problems
        ],
    )
    return _json(shapes.Refused(error=told))


def _packed(wanted: JobsWanted, first: int) -> list[SegmentDraft]:
    packer = SegmentPacker(wanted.head.on_loss)
    placed = (row._replace(position=first + row.position) for row in wanted.rows)
    full = chain.from_iterable(map(packer.add, placed))
    return [*full, *packer.finish()]


def _accepted(what: shapes.JobsAccepted | shapes.SealAccepted | shapes.SubscriptionAccepted) -> str:
    return _json(shapes.Accepted(accepted=what))


def _json(reply: BaseModel) -> str:
    return orjson.dumps(reply.model_dump()).decode()
