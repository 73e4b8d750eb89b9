"""What a single value of the configuration must look like.

Each check returns the value as it is used, or raises `ValueError` with the problem and its remedy. A value that
may hold a secret is never quoted.
"""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from broker.domain.route import USE
from broker.redaction import redact

_ACCOUNT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PROBE_PATH = re.compile(r"/[A-Za-z0-9._~/-]*(\?[A-Za-z0-9._~/=&-]*)?")
_POINTER = re.compile(r"(/[^/~\x00-\x20]+)+")
_TEMPLATE = re.compile(r"[A-Za-z0-9/:._~@?=&%+-]*")
_SCHEME = re.compile(r"[A-Za-z0-9-]{0,32}")
_ENDPOINT = re.compile(r"/(?:chat/completions|completions|embeddings|responses|messages|models)$")
_CREDENTIAL_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie"}
)
_OUR_HEADERS = frozenset(
    {
        "host",
        "content-type",
        "content-length",
        "content-encoding",
        "transfer-encoding",
        "accept-encoding",
        "connection",
        "expect",
        "x-client-request-id",
    }
)


def label(value: str) -> str:
    """Accept a name that is shown to people and put into queue names and columns."""
    if not value or value != value.strip() or not value.isprintable():
        raise ValueError("must not be empty, padded with spaces or hold control characters")
    if redact(value) != value:
        raise ValueError("looks like a key; use api_key with env:NAME or file:/path")
    return value


def model_name(value: str) -> str:
    """Accept a name that producers ask for."""
    if USE in value:
        raise ValueError(f'must not hold "{USE}", which stands before what a batch is for')
    return label(value)


def account_name(value: str) -> str:
    if not _ACCOUNT_NAME.fullmatch(value):
        raise ValueError("must be 1 to 64 letters, digits, '.', '_' or '-', and start with a letter or digit")
    return value


def secret_reference(value: str) -> str:
    """Accept `env:NAME` or `file:PATH`."""
    scheme, _, rest = value.partition(":")
    # A key pasted behind `env:` would otherwise be printed as the name of a variable that is not set.
    if scheme == "env" and _ENVIRONMENT_NAME.fullmatch(rest) and redact(rest) == rest:
        return value
    if scheme == "file" and rest.strip() and rest.isprintable() and redact(rest) == rest:
        return value
    raise ValueError(
        "must say where the key is, not be the key: put the key into an environment variable or a file, and write"
        ' "env:NAME" or "file:/path"; if a real key stood here, treat it as leaked and replace it'
    )


def environment_name(value: str) -> str:
    """Accept the name of a variable."""
    if not _ENVIRONMENT_NAME.fullmatch(value) or redact(value) != value:
        raise ValueError("must be the name of an environment variable, not what is in it")
    return value


def base_url(value: str) -> str:
    """Accept an http or https URL without credentials, query or fragment; a trailing slash is dropped."""
    if any(character.isspace() or not character.isprintable() for character in value):
        raise ValueError("must not hold spaces or control characters")
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("is not a URL; write it like https://host/v1") from error
    if parts.scheme not in {"http", "https"} or not host or port == 0:
        raise ValueError("must be an http or https URL with a host, like https://host/v1")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password; use api_key, or headers for a proxy")
    if "?" in value or "#" in value:
        raise ValueError("must not have a query or fragment; use api_key for the key, headers for anything else")
    bare = value.rstrip("/")
    endpoint = _ENDPOINT.search(bare)
    if endpoint:
        raise ValueError(f"must end before {endpoint.group()}, which is added for each call")
    return bare


def path_template(value: str) -> str:
    """Accept a path below the base URL, with `{model}` and `{method}` where they belong."""
    bare = value.replace("{model}", "").replace("{method}", "")
    if not value.startswith("/") or not value.isascii() or not _TEMPLATE.fullmatch(bare):
        raise ValueError("must be a path that begins with /, in which only {model} and {method} stand for something")
    return value


def probe_path(value: str) -> str:
    """Accept a path below a server's root, which may have a query."""
    if not _PROBE_PATH.fullmatch(value):
        raise ValueError("must be a path that begins with /, such as /props")
    return value


def pointer(value: str) -> str:
    """Accept a JSON pointer to something inside a page."""
    if not _POINTER.fullmatch(value):
        raise ValueError("must be a JSON pointer, such as /data")
    return value


def service_url(*schemes: str) -> Callable[[str], str]:
    """Accept a URL of one of these schemes without a password, or a reference to one that has it."""

    def check(value: str) -> str:
        if value.startswith(("env:", "file:")):
            return secret_reference(value)
        try:
            parts = urlsplit(value)
            password = parts.password
        except ValueError as error:
            raise ValueError(f"is not a URL; write it like {schemes[0]}://host/name") from error
        if parts.scheme not in schemes:
            raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        if password is not None or "password=" in parts.query:
            raise ValueError(
                "must not hold a password; put the whole URL into an environment variable or a file, and write"
                ' "env:NAME" or "file:/path"; if a real password stood here, treat it as leaked and replace it'
            )
        return value

    return check


def queue_prefix(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{0,64}", value):
        raise ValueError("must be up to 64 letters, digits, '.', '_' or '-'")
    return value


def header_name(value: str) -> str:
    if not _HEADER_NAME.fullmatch(value):
        raise ValueError("is not a header name")
    if value.lower() in _CREDENTIAL_HEADERS:
        raise ValueError("carries a credential; use api_key with env:NAME or file:/path")
    if value.lower() in _OUR_HEADERS:
        raise ValueError("is set by the worker itself; remove it")
    return value


def auth_header(value: str) -> str:
    """Accept the name of a header that carries the key."""
    if not _HEADER_NAME.fullmatch(value) or value.lower() in _OUR_HEADERS:
        raise ValueError("must be the name of a header that nothing else is sent in, like authorization or x-api-key")
    return value.lower()


def auth_scheme(value: str) -> str:
    """Accept the word that stands before a key, or none."""
    if not _SCHEME.fullmatch(value) or redact(value) != value:
        raise ValueError("must be a word that stands before the key, like Bearer, or empty")
    return value


def header_value(value: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise ValueError("must be printable ASCII")
    if redact(value) != value:
        raise ValueError("looks like a key; use api_key with env:NAME or file:/path")
    return value
