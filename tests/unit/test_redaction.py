import copy
import pickle

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.redaction import Secret, excerpt, redact, redacted_body

CANARIES = (
    "sk-proj-CANARY0123456789abcdefghij",
    "sk-ant-api03-CANARY-0123456789abcdef",
    "hf_CANARYabcdefghij0123456789",
    "gsk_CANARY0123456789abcdef",
    "AIzaSyCANARY0123456789abcdef",
    "xai-CANARY0123456789abcdef",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJDQU5BUlkifQ.CANARYsig",
)


@pytest.mark.parametrize("key", CANARIES)
@pytest.mark.parametrize(
    "template",
    [
        "{}",
        "Incorrect API key provided: {}. You can find your key at https://example.org/keys.",
        '{{"error": {{"message": "bad key \'{}\'"}}}}',
        "Authorization: Bearer {}",
        "https://example.org/v1?api_key={}&x=1",
        "https://user:{}@example.org/v1",
        "(key={})",
    ],
)
def test_a_key_never_survives(key: str, template: str) -> None:
    shown = redact(template.format(key))
    assert "CANARY" not in shown
    assert key[-6:] not in shown


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-ab*********************CANA.",
        "invalid api-key=CANARY0deadbeef",
        'x {"api_key": "0CANARY9abcdef0123456789abcdef"}',
        "the secret is 'CANARY-42-abcdefgh'",
        "authorization: basic Q0FOQVJZ0CANARY",
        "Bearer CANARY",
        "sk-\u200bCAN\u200bARY0123456789",
    ],
)
def test_partly_masked_and_unknown_keys_are_masked_too(text: str) -> None:
    shown = redact(text)
    assert "CANA" not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    "text",
    [
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
        (
            "Rate limit reached for gpt-5 in organization org-a on tokens per min (TPM): Limit 10000, Used 9999. "
            "Please try again in 1.2s."
        ),
        "req_0123456789abcdef0123456789abcdef",
        "https://api.example.org/v1/chat/completions",
        "Invalid value for 'token': 'expected-string'",
        "key-value-store-2",
        "invalid_api_key",
        "Grüße, 世界",
    ],
)
def test_what_is_no_key_stays_readable(text: str) -> None:
    assert redact(text) == text


def test_control_characters_cannot_forge_lines_or_colour_terminals() -> None:
    assert redact("a\r\nERROR \x1b[31mred\x00 \u202eevil\ud800") == "a ERROR  [31mred  evil "


def test_an_excerpt_is_cut_after_masking() -> None:
    assert excerpt("at sk-CANARY0123456789abcdef end", 10) == "at *** end"
    shown = excerpt("x" * 490 + " sk-CANARY0123456789abcdef" + "y" * 600, 500)
    assert len(shown) <= 500
    assert "CANA" not in shown


def test_a_redacted_body_is_still_json() -> None:
    body = orjson.dumps({"error": {"message": "bad key sk-CANARY0123456789, or 'hf_CANARY0123456789'", "code": 7}})
    kept = redacted_body(body)
    assert b"CANARY" not in kept
    assert orjson.loads(kept)["error"]["code"] == 7


def test_a_binary_body_is_shown_without_failing() -> None:
    assert redacted_body(bytes(range(256)) * 1000, limit=100)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", ["sk-", "key ", "key=", "bearer ", "a", "eyJ", "eyJaaaaaaaa.", "://", "a_key", "sk-a1"]
)
def test_hostile_text_does_not_hang(piece: str) -> None:
    assert redact(piece * 20_000) is not None


@given(st.text())
def test_redaction_never_fails_and_settles(text: str) -> None:
    once = redact(text)
    assert not any(ord(character) < 0x20 for character in once)
    redact(once).encode()


def test_a_secret_shows_only_a_mask() -> None:
    secret = Secret("CANARY-key")
    for shown in (repr(secret), str(secret), f"{secret}", f"{[secret]}", "%s" % secret, f"{secret!r:>20}"):  # noqa: UP031  (each way of formatting)
        assert "CANARY" not in shown
    assert secret.reveal() == "CANARY-key"


def test_a_secret_is_neither_pickled_nor_copied() -> None:
    secret = Secret("CANARY-key")
    for leak in (pickle.dumps, copy.copy, copy.deepcopy, lambda held: held.__getstate__()):
        with pytest.raises(TypeError, match="not serialised"):
            leak(secret)
    assert not hasattr(secret, "__dict__")
