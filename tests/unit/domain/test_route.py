"""Routes: who may run what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.account import Account
from broker.domain.dialect import OPENAI_FAMILY
from broker.domain.route import LicenceNeeded, Routes, model_of, qualified, route_for, without_use

NC, RESEARCH = "non-commercial", "research"
NAMES = st.text(st.sampled_from("ab@:+/.-é"), min_size=1, max_size=6)
USES = st.sampled_from([NC, RESEARCH, "nobody's", "a+use:b"])


def an_account(name: str, *models: str, licence: str | None = None, provider: str = "prov") -> Account:
    served = {model: model for model in models or ("m",)}
    return Account(
        name=name, provider=provider, protocols=OPENAI_FAMILY, base_url="http://x/v1", models=served, licence=licence
    )


FREE, HOME, LAB = an_account("free"), an_account("home", licence=NC), an_account("lab", licence=RESEARCH)


def takes(pool: list[Account], asked: str, use: str | None) -> set[str]:
    """The accounts that a row of such a batch may reach."""
    routes = Routes(pool)
    route = route_for(asked, use, routes.of_any(pool))
    return {account.name for account in routes.serving([route])} if isinstance(route, str) else set()


def test_an_account_serves_each_model_plain_and_pinned() -> None:
    azure = an_account("azure-eu-1", "gpt-5-mini", "embed", provider="azure")
    assert Routes([azure]).of(azure) == {
        "gpt-5-mini", "gpt-5-mini@azure", "gpt-5-mini@azure-eu-1", "embed", "embed@azure", "embed@azure-eu-1",
    }  # fmt: skip


def test_an_account_with_a_licence_serves_its_use_and_nothing_else() -> None:
    assert Routes([FREE, HOME]).of(HOME) == {f"m+use:{NC}", f"m@prov+use:{NC}", f"m@home+use:{NC}"}


def test_an_account_without_a_licence_serves_every_use_that_another_may_have_too() -> None:
    plain = {"m", "m@prov", "m@free"}
    assert Routes([FREE]).of(FREE) == plain
    assert Routes([FREE, HOME]).of(FREE) == plain | {f"m+use:{NC}", f"m@prov+use:{NC}"}
    assert Routes([FREE, an_account("home", "other", licence=NC)]).of(FREE) == plain


@pytest.mark.parametrize(
    ("use", "asked", "names"),
    [
        (None, "m", {"free"}),
        (NC, "m", {"free", "home"}),
        (RESEARCH, "m", {"free", "lab"}),
        ("commercial", "m", {"free"}),
        (NC, "m@home", {"home"}),
        (None, "m@home", set()),
        (RESEARCH, "m@home", set()),
        (NC, "m@free", {"free"}),
        (NC, "m@prov", {"free", "home"}),
        (None, "m@prov", {"free"}),
    ],
)
def test_a_batch_reaches_the_accounts_that_may_run_it_and_no_other(
    use: str | None, asked: str, names: set[str]
) -> None:
    assert takes([FREE, HOME, LAB], asked, use) == names


@pytest.mark.parametrize("use", [None, RESEARCH])
def test_what_only_licensed_accounts_serve_is_refused_with_the_remedy(use: str | None) -> None:
    pool = [HOME, an_account("free", "other")]
    refused = route_for("m", use, Routes(pool).of_any(pool))
    assert refused == LicenceNeeded(licences=(NC,))
    assert str(refused) == (
        f"only accounts with the licence {NC} serve it; if that is what the batch is for, submit it with --use {NC}"
    )


def test_every_licence_that_would_do_is_named() -> None:
    refused = route_for("m", None, Routes([HOME, LAB]).of_any([HOME, LAB]))
    assert refused == LicenceNeeded(licences=(NC, RESEARCH))
    assert f"{NC} or {RESEARCH}" in str(refused)


@pytest.mark.parametrize("use", [None, NC])
def test_what_nobody_serves_is_unknown_whatever_it_is_for(use: str | None) -> None:
    assert route_for("unknown", use, Routes([FREE, HOME]).of_any([FREE, HOME])) is None


def test_a_row_cannot_say_by_its_model_what_its_batch_did_not_say() -> None:
    assert takes([FREE, HOME], f"m+use:{NC}", None) == set()
    assert route_for(f"m+use:{NC}", NC, Routes([HOME]).of(HOME)) is None


@st.composite
def pools(draw: st.DrawFn) -> list[Account]:
    licences = st.one_of(st.none(), USES)
    models = st.lists(NAMES.filter(lambda name: "+use:" not in name), min_size=1, max_size=3)
    return [
        an_account(f"account-{number}", *draw(models), licence=draw(licences))
        for number in range(draw(st.integers(1, 4)))
    ]


@given(pool=pools(), use=st.one_of(st.none(), USES), data=st.data())
def test_no_route_crosses_a_licence_whatever_the_pool(
    pool: list[Account], use: str | None, data: st.DataObject
) -> None:
    asked = data.draw(st.sampled_from(sorted({model for account in pool for model in account.models})))
    may = {one.name for one in pool if asked in one.models and one.licence in (None, use)}
    reached = takes(pool, asked, use)
    assert {one.licence for one in pool if one.name in reached} <= {None, use}
    assert reached >= may, "nobody who may run it is left out"


@given(pool=pools())
def test_every_route_leads_back_to_a_model_and_to_what_was_asked_for(pool: list[Account]) -> None:
    routes = Routes(pool)
    for account in pool:
        for route in routes.of(account):
            assert model_of(route, account.models) in account.models
            assert without_use(route) in {
                pinned for m in account.models for pinned in (m, f"{m}@prov", f"{m}@{account.name}")
            }


@given(route=NAMES.filter(lambda name: "+use:" not in name), use=USES)
def test_a_use_comes_off_as_it_was_put_on(route: str, use: str) -> None:
    assert without_use(qualified(route, use)) == route


@pytest.mark.parametrize(
    ("route", "models", "model"),
    [
        ("gpt-5-mini", ["gpt-5-mini"], "gpt-5-mini"),
        ("gpt-5-mini@azure", ["gpt-5-mini"], "gpt-5-mini"),
        ("team@model", ["team@model"], "team@model"),
        ("team@model@azure", ["team@model"], "team@model"),
        ("m@azure", ["m", "m@azure"], "m@azure"),
        ("team@model@azure+use:nc@x", ["team@model"], "team@model"),
        ("team@model+use:nc", ["team@model"], "team@model"),
    ],
)
def test_a_route_names_its_model_also_when_that_holds_an_at_sign(route: str, models: list[str], model: str) -> None:
    assert model_of(route, models) == model
