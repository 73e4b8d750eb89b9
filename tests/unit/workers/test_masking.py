"""The worker's own key, masked in what a provider sends back."""

import json
from urllib.parse import quote

import pytest

from broker.redaction import Secret
from workers.endings import Responded
from workers.masking import Masking

KEY = 'pass/word+"<1>'


@pytest.mark.parametrize(
    "spelled",
    [
        KEY,
        json.dumps(KEY)[1:-1],
        json.dumps(KEY)[1:-1].replace("/", "\\/"),
        json.dumps(KEY)[1:-1].replace("<", "\\u003c").replace(">", "\\u003e"),
        quote(KEY, safe=""),
        quote(KEY),
        quote(KEY, safe="").replace("%2F", "%2f").replace("%2B", "%2b").replace("%3C", "%3c").replace("%3E", "%3e"),
    ],
)
def test_a_key_is_masked_however_it_is_spelled(spelled: str) -> None:
    masking = Masking(Secret(KEY))
    assert masking.text(f"no such key: {spelled}.") == "no such key: ***."
    response = Responded(status=401, headers={"x-key": f"is {spelled}"}, body=f"({spelled})".encode())
    assert masking.response(response) == Responded(status=401, headers={"x-key": "is ***"}, body=b"(***)")


@pytest.mark.parametrize("secret", [None, Secret("short")])
def test_without_a_key_or_with_a_common_word_nothing_is_changed(secret: Secret | None) -> None:
    response = Responded(status=401, headers={"a": "short"}, body=b"a short text")
    assert Masking(secret).response(response) == response
