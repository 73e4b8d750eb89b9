"""Faults: what stands in front of every API answers when it fails, and what the API itself does."""

from workers.provider_sim.call import Reply
from workers.provider_sim.config import KeyConfig
from workers.provider_sim.fault_kinds import FaultKind
from workers.provider_sim.vendor import Errors

_HTML = b"<html>\r\n<head><title>%s</title></head>\r\n<body><center><h1>%s</h1></center></body>\r\n</html>\r\n"


def fault_reply(kind: FaultKind, model: str, key: KeyConfig, errors: Errors, retry_after_s: float) -> Reply | None:
    """Return the response of a fault that looks the same whatever was called, `None` for any other fault."""
    match kind:
        case FaultKind.RATE_LIMITED:
            return errors.rate_limited(model, key, retry_after_s)
        case FaultKind.RATE_LIMITED_NO_HINT:
            return errors.rate_limited(model, key, None)
        case FaultKind.QUOTA_EXHAUSTED:
            return errors.exhausted(key.exhausted_form, model)
        case FaultKind.WRONG_SHAPE:
            return errors.wrong_shape(model)
        case _:
            return _of_server(kind, errors) or _in_front(kind)


def _of_server(kind: FaultKind, errors: Errors) -> Reply | None:
    match kind:
        case FaultKind.SERVER_ERROR:
            return errors.server_error()
        case FaultKind.OVERLOADED:
            return errors.overloaded()
        case FaultKind.SITE_OVERLOADED:
            return errors.site_overloaded()
        case _:
            return None


def _in_front(kind: FaultKind) -> Reply | None:
    """Return what a proxy answers that never heard of the protocol."""
    match kind:
        case FaultKind.BAD_GATEWAY:
            page = _HTML % (b"502 Bad Gateway", b"502 Bad Gateway")
            return Reply(status=502, body=page, content_type="text/html")
        case FaultKind.UNAVAILABLE:
            body = b"upstream connect error or disconnect/reset before headers. reset reason: overflow"
            return Reply(status=503, body=body, content_type="text/plain")
        case FaultKind.HTML_PAGE:
            page = _HTML % (b"Just a moment...", b"Checking your browser")
            return Reply(status=200, body=page, content_type="text/html")
        case FaultKind.EMPTY_BODY:
            return Reply(status=200, body=b"")
        case _:
            return None
