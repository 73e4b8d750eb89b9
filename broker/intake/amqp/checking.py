"""Who sent a message, and whether it may be read at all: decided by its properties, before its body."""

from collections.abc import Mapping

from broker.intake.amqp.reading import MOST_BYTES, MessageRefused
from broker.transport.public.arrived import Arrived

JSON = "application/json"
_FORBIDDEN_HEADERS = frozenset({"cc", "bcc", "x-death"})
"""Copies to other queues, and messages that were dead-lettered: neither is how a producer submits."""
_PLAIN_ENCODINGS = frozenset({"", "utf-8", "utf8", "identity"})


def producer(message: Arrived, projects: Mapping[str, str]) -> str:
    """The project of the user that RabbitMQ vouches for; raises `MessageRefused`."""
    if not message.readable:
        raise MessageRefused("unreadable_properties", "the properties of the message break the protocol")
    forbidden = sorted(name for name in message.headers if name.lower() in _FORBIDDEN_HEADERS)
    if forbidden:
        raise MessageRefused("forbidden_header", f"a submission has no header {forbidden[0]}")
    if not message.user_id:
        raise MessageRefused("no_user_id", "set the property user_id to the user of your connection")
    project = projects.get(message.user_id)
    if project is None:
        raise MessageRefused("unknown_user", "this user has no project; add it to [broker.projects] in penstock.toml")
    return project


def submission_id(message: Arrived) -> str:
    """The producer's id of a message that can be read on; raises `MessageRefused`."""
    if not message.message_id:
        raise MessageRefused("no_message_id", "set the property message_id, and send the same again with the same id")
    if not message.message_id.isprintable():
        raise MessageRefused("invalid_message_id", "message_id has characters that cannot be printed")
    content_type = (message.content_type or JSON).partition(";")[0].strip().lower()
    if content_type != JSON:
        raise MessageRefused("wrong_content_type", f"the content type must be {JSON}")
    if (message.content_encoding or "").strip().lower() not in _PLAIN_ENCODINGS:
        raise MessageRefused("wrong_content_encoding", "the body must not be compressed")
    if len(message.body) > MOST_BYTES:
        raise MessageRefused("too_large", f"a message has at most {MOST_BYTES >> 20} MiB; send several")
    return message.message_id
