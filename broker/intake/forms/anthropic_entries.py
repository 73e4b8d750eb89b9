"""Entries of Anthropic's batch API: `custom_id`, `params`; other keys are ignored."""

from collections.abc import Mapping
from typing import Any

from broker.domain.job import Endpoint
from broker.intake.forms.fields import filled_array, invalid, no_stream, request_at, required


def asked_for(fields: Mapping[str, Any]) -> tuple[Endpoint, dict[str, Any]]:
    """What an entry asks for, checked; raises `RowRefused`."""
    request = request_at(fields, "params")
    no_stream(request, "params.stream")
    filled_array(request, "messages", "params.messages")
    most = required(request, "max_tokens", "params.max_tokens")
    if type(most) is not int or most < 1:
        raise invalid("params.max_tokens must be a whole number, 1 or more")
    return Endpoint.MESSAGES, request
