"""`penstock translate` and `penstock parse`: what would be sent, and what would be understood. Nothing is called."""

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.commands import Exit
from broker.cli.options import AsJson
from broker.domain.dialect import Dialect
from broker.domain.loss import OnLoss

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.protocols import Translation

_LARGEST_BODY = 64 * 1024 * 1024


def translate(
    *,
    source: Annotated[Dialect, typer.Option("--from", help="The dialect of the body on standard input.")],
    target: Annotated[Dialect, typer.Option("--to", help="The dialect to say it in.")],
    model: Annotated[str, typer.Option("--model", help="The model's name at the target.")],
    on_loss: Annotated[
        OnLoss, typer.Option("--on-loss", help="What becomes of a request of which something would be lost.")
    ] = OnLoss.FAIL,
    as_json: AsJson = False,
) -> None:
    """Show a request (JSON on standard input) as it would be sent in another dialect, and what would be lost.

    Only what the model's name says is known of the model; an account's own `caps` are not looked at.
    """
    from broker.catalog.model_facts import facts_by_name
    from broker.cli.translating import loss_facts, loss_words, pretty, request_words, translation_facts
    from broker.protocols import UntranslatableRequest, translate_request
    from broker.protocols.registry import codec_of

    body = _object()
    caps = codec_of(target).caps.amended(facts_by_name(model, target))
    said = partial(translate_request, body, source=source, target=target, model=model, caps=caps)
    try:
        translation = said(on_loss=on_loss)
    except UntranslatableRequest as refused:
        if as_json:
            typer.echo(pretty({"error": refused.code, "losses": [loss_facts(loss) for loss in refused.losses]}))
        else:
            for loss in refused.losses:
                typer.echo(loss_words(loss), err=True)
            dropping = " (--on-loss drop sends it without what may be lost)" if _is_sent_by(said) else ""
            typer.echo(f"this request cannot be said in {target}{dropping}", err=True)
        raise typer.Exit(Exit.REFUSED) from None
    if as_json:
        typer.echo(pretty(translation_facts(translation)))
        return
    typer.echo(request_words(translation))
    for loss in translation.warnings:
        typer.echo(loss_words(loss), err=True)
    if translation.fan_out > 1:
        typer.echo(f"it is sent {translation.fan_out} times, as the target gives one answer to a call", err=True)


def parse(
    *,
    protocol: Annotated[Dialect, typer.Option("--protocol", help="The dialect of the response.")],
    status: Annotated[int, typer.Option("--status", min=100, max=599, help="Its HTTP status.")] = 200,
    header: Annotated[list[str] | None, typer.Option("--header", help="A response header, `name: value`.")] = None,
    render: Annotated[
        Dialect | None, typer.Option("--as", help="Show what a producer of this dialect would get instead.")
    ] = None,
) -> None:
    """Show, as JSON, how a response (its body on standard input) would be understood."""
    from broker.cli.translating import answer_facts, error_facts, pretty
    from broker.domain.attempt import CallError
    from broker.domain.clock import SystemClock
    from broker.protocols import parse_response, render_response

    headers = dict(_header(line) for line in header or ())
    understood = parse_response(protocol, status, headers, _body(), now=SystemClock().now())
    if render is not None:
        typer.echo(pretty(render_response(understood, dialect=render)))
    elif isinstance(understood, CallError):
        typer.echo(pretty(error_facts(understood)))
    else:
        typer.echo(pretty(answer_facts(understood)))


def _is_sent_by(said: "Callable[..., Translation]") -> bool:
    """Whether a request that was refused is sent where losses are dropped."""
    from broker.protocols import UntranslatableRequest

    try:
        said(on_loss=OnLoss.DROP)
    except UntranslatableRequest:
        return False
    return True


def _body() -> bytes:
    body = sys.stdin.buffer.read(_LARGEST_BODY + 1)
    if len(body) > _LARGEST_BODY:
        typer.echo(f"standard input: more than {_LARGEST_BODY >> 20} MiB", err=True)
        raise typer.Exit(Exit.REFUSED)
    return body


def _object() -> dict[str, object]:
    from broker.intake.row_syntax import MAX_DEPTH
    from broker.protocols.exact_json import exact
    from broker.protocols.splice import deeper_than

    body = _body()
    if deeper_than(body, MAX_DEPTH):
        typer.echo(f"standard input: it nests arrays and objects deeper than {MAX_DEPTH} levels", err=True)
        raise typer.Exit(Exit.REFUSED)
    try:
        value = exact(body)
    except ValueError as error:
        typer.echo(f"standard input: no JSON: {error}", err=True)
        raise typer.Exit(Exit.REFUSED) from None
    if not isinstance(value, dict):
        typer.echo("standard input: a request is a JSON object", err=True)
        raise typer.Exit(Exit.REFUSED)
    return value


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise typer.BadParameter(f"--header {line!r}: write it as `name: value`")
    return name.strip().lower(), value.strip()
