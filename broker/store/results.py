"""Results, read by a cursor that never skips a row."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, select, text

from broker.domain.result import Result, ResultLine, ResultState
from broker.domain.usage import Usage, UsageSource
from broker.store.losses import unpacked
from broker.store.tables import results

_LINE = tuple(results.c[name] for name in ResultLine._fields)


def after(connection: Connection, batch_id: int, seq: int, most: int) -> list[Result]:
    """Results in the order they were committed, behind a cursor; `seq` is gapless from 1."""
    rows = connection.execute(_after(select(results), batch_id, seq).limit(most)).all()
    return [_result(tuple(row)) for row in rows]


def lines_after(connection: Connection, batch_id: int, seq: int, most: int) -> list[ResultLine]:
    """The same, but only what goes into a file."""
    rows = connection.execute(_after(select(*_LINE), batch_id, seq).limit(most)).all()
    return [ResultLine._make(row) for row in rows]


def lines_from(connection: Connection, batch_id: int, position: int, most: int) -> list[ResultLine]:
    """Lines in input order from a position on: the contiguous prefix only, so it may be empty for now."""
    rows = connection.execute(
        select(*_LINE)
        .where(results.c.batch_id == batch_id, results.c.position >= position)
        .order_by(results.c.position)
        .limit(most)
    ).all()
    lines = [ResultLine._make(row) for row in rows]
    return [line for expected, line in enumerate(lines, position) if line.position == expected]


def _after(query: Select[Any], batch_id: int, seq: int) -> Select[Any]:
    # `seq > 0` as text: what the partial index is declared with
    return query.where(results.c.batch_id == batch_id, results.c.seq > seq, results.c.seq > text("0")).order_by(
        results.c.seq
    )


def _result(row: Sequence[Any]) -> Result:
    (
        batch_id, position, seq, custom_id, state, status, body, error_code, error_message, request_id,
        input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, usage_source,
        cost, account, provider, model, attempts, finished_at, warnings,
    ) = row  # fmt: skip
    return Result(
        batch_id=batch_id,
        position=position,
        seq=seq,
        custom_id=custom_id,
        state=ResultState(state),
        status=status,
        body=body,
        error_code=error_code,
        error_message=error_message,
        request_id=request_id,
        usage=Usage(
            input_tokens=input_tokens,
            cache_read_tokens=cache_read_tokens,
            cache_write_tokens=cache_write_tokens,
            output_tokens=output_tokens,
            reasoning_tokens=reasoning_tokens,
            source=UsageSource(usage_source or UsageSource.MISSING),
        ),
        cost=cost,
        account=account,
        provider=provider,
        model=model,
        attempts=attempts,
        finished_at=finished_at,
        warnings=unpacked(warnings),
    )
