"""What a provider does otherwise than its protocol says."""

import pytest

from broker.domain.account import Account
from broker.domain.attempt import CallError, ErrorClass, Scope
from broker.domain.caps import Caps, ThinkingForm, facts_of_caps
from broker.domain.dialect import OPENAI_FAMILY, Dialect, spoken
from broker.domain.provider import ProviderFacts, Quirk, reconsidered

CHAT, RESPONSES, EMBEDDINGS = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES, Dialect.OPENAI_EMBEDDINGS
MESSAGES, GEMINI = Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI_GENERATE_CONTENT


@pytest.mark.parametrize(
    ("source", "generates", "protocols", "target"),
    [
        (CHAT, True, (CHAT, EMBEDDINGS), CHAT),
        (RESPONSES, True, (CHAT, RESPONSES, EMBEDDINGS), RESPONSES),
        (RESPONSES, True, (EMBEDDINGS, CHAT), CHAT),
        (MESSAGES, True, (CHAT, RESPONSES), CHAT),
        (CHAT, True, (MESSAGES,), MESSAGES),
        (EMBEDDINGS, False, (CHAT, EMBEDDINGS), EMBEDDINGS),
        (EMBEDDINGS, False, (GEMINI,), GEMINI),
        (GEMINI, False, (CHAT, EMBEDDINGS), EMBEDDINGS),
        (GEMINI, True, (EMBEDDINGS, CHAT), CHAT),
        (GEMINI, False, (CHAT, EMBEDDINGS, GEMINI), GEMINI),
        (GEMINI, True, (CHAT, GEMINI), GEMINI),
        (EMBEDDINGS, False, (CHAT, MESSAGES), None),
        (CHAT, True, (EMBEDDINGS,), None),
        (CHAT, True, (), None),
    ],
)
def test_an_account_is_asked_in_the_producers_language_or_the_first_that_can_ask_it(
    source: Dialect, generates: bool, protocols: tuple[Dialect, ...], target: Dialect | None
) -> None:
    assert spoken(source, generates=generates, protocols=protocols) is target


def an_error(message: str = "No.", status: int = 429, code: str | None = "x") -> CallError:
    return CallError(
        error_class=ErrorClass.RATE_LIMITED, scope=Scope.SAME, message=message, status=status, code=code, wait_s=3.0
    )


def a_quirk(status: int | None = None, code: str | None = None, message: str | None = None) -> Quirk:
    return Quirk(error_class=ErrorClass.SPEND, scope=Scope.OTHER, status=status, code=code, message=message)


@pytest.mark.parametrize(
    ("quirk", "fits"),
    [
        (a_quirk(status=429), True),
        (a_quirk(status=400), False),
        (a_quirk(code="X"), True),
        (a_quirk(code="xx"), False),
        (a_quirk(message="trial KEY"), True),
        (a_quirk(message="other"), False),
        (a_quirk(status=429, code="x", message="trial"), True),
        (a_quirk(status=400, code="x", message="trial"), False),
        (a_quirk(status=429, code="y", message="trial"), False),
    ],
)
def test_an_error_is_a_quirk_when_all_that_is_given_fits(quirk: Quirk, fits: bool) -> None:
    found = reconsidered(an_error("You use a Trial key, limited to 1000 calls."), [quirk])
    assert (found.error_class is ErrorClass.SPEND) is fits


def test_the_first_quirk_that_fits_decides_and_the_rest_of_the_error_stays() -> None:
    second = Quirk(error_class=ErrorClass.OVERLOADED, scope=Scope.SAME, status=429)
    found = reconsidered(an_error(), [a_quirk(status=500), a_quirk(code="x"), second])
    assert (found.error_class, found.scope) == (ErrorClass.SPEND, Scope.OTHER)
    assert (found.message, found.status, found.code, found.wait_s) == ("No.", 429, "x", 3.0)


def test_an_error_without_a_code_is_no_quirk_that_names_one() -> None:
    assert reconsidered(an_error(code=None), [a_quirk(code="x")]).error_class is ErrorClass.RATE_LIMITED


def an_account(**facts: object) -> Account:
    return Account(
        name="a",
        provider="p",
        protocols=OPENAI_FAMILY,
        base_url="https://host/v1/",
        models={},
        facts=ProviderFacts(**facts),  # type: ignore[arg-type]
    )


def test_a_call_goes_where_its_protocol_says() -> None:
    assert an_account().url(CHAT, "/chat/completions", "m") == "https://host/v1/chat/completions"


def test_a_provider_may_have_paths_of_its_own_for_one_dialect() -> None:
    account = an_account(paths={GEMINI: "/models/{model}:{method}", RESPONSES: "/r?model={model}"})
    path = "/v1beta/models/whatever:embedContent"
    assert account.url(GEMINI, path, "gemini-2") == "https://host/v1/models/gemini-2:embedContent"
    assert account.url(RESPONSES, "/responses", "m") == "https://host/v1/r?model=m"
    assert account.url(CHAT, "/chat/completions", "m") == "https://host/v1/chat/completions"


def test_a_name_in_a_path_cannot_end_it() -> None:
    account = an_account(paths={CHAT: "/d/{model}/chat"})
    assert account.url(CHAT, "/x", "a b?c#d%é{method}") == "https://host/v1/d/a%20b%3Fc%23d%25%C3%A9%7Bmethod%7D/chat"
    assert account.url(CHAT, "/x", "org/m:fast") == "https://host/v1/d/org/m:fast/chat"


def test_facts_of_a_model_are_read_as_files_spell_them() -> None:
    facts = facts_of_caps({"thinking": "budget", "efforts": ["low"], "sampling": False})
    assert facts == {"thinking": ThinkingForm.BUDGET, "efforts": ("low",), "sampling": False}
    assert Caps().amended(facts) == Caps(thinking=ThinkingForm.BUDGET, efforts=("low",), sampling=False)


@pytest.mark.parametrize("entry", [{"thinks": True}, {"thinking": "deeply"}, {"sampling": "no"}])
def test_what_is_no_fact_of_a_model_is_refused(entry: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"thinks|deeply|sampling"):
        facts_of_caps(entry)
