"""The pages of models: the same path for three vendors, told apart by headers as their own clients send them."""

from aiohttp.web import BaseRequest

from workers.provider_sim.anthropic import endpoints as anthropic
from workers.provider_sim.books import Books
from workers.provider_sim.call import Reply
from workers.provider_sim.config import KeyConfig, SimConfig
from workers.provider_sim.gemini import endpoints as gemini
from workers.provider_sim.openai import endpoints as openai
from workers.provider_sim.self_hosted.pages import model_facts
from workers.provider_sim.vendor import Vendor

DEFAULT_MODELS = ("sim-chat", "sim-embedding")
_PATH = "/v1/models"


def vendor_of(request: BaseRequest) -> Vendor:
    """Return whose client sent a request, by its path and headers; OpenAI's if nothing tells."""
    headers = request.headers
    if not request.path.startswith("/v1/") and gemini.model_page(request.path) is not None:
        return gemini.GEMINI
    if "x-goog-api-key" in headers or "x-goog-api-client" in headers or "key" in request.query:
        return gemini.GEMINI
    return anthropic.ANTHROPIC if "anthropic-version" in headers else openai.OPENAI


def page(request: BaseRequest, config: SimConfig, books: Books) -> Reply | None:
    """Return the answer to a request for models, `None` when it is for something else."""
    vendor = vendor_of(request)
    path = request.path
    if vendor is gemini.GEMINI:
        name = gemini.model_page(path)
    else:
        name = path.removeprefix(_PATH).removeprefix("/") if path == _PATH or path.startswith(f"{_PATH}/") else None
    if name is None:
        return None
    secret = vendor.headers.key_of(request)
    key = books.keys.get(secret)
    if key is None:
        return vendor.errors.bad_key(is_given=bool(secret))
    if key.is_revoked(books.now()):
        return revoked(vendor, key.config)
    if request.method != "GET":
        return vendor.errors.wrong_method(request.method, path)
    if name and config.models and name not in config.models:
        return vendor.errors.no_such_model(name)
    return Reply(status=200, body=_body(vendor, name, config, int(books.opened_at)))


def revoked(vendor: Vendor, key: KeyConfig) -> Reply:
    """Return how a revoked key is refused."""
    return vendor.errors.forbidden() if key.revoked_form == "forbidden" else vendor.errors.bad_key(is_given=True)


def _body(vendor: Vendor, name: str, config: SimConfig, created: int) -> bytes:
    models = config.models or DEFAULT_MODELS
    if vendor is gemini.GEMINI:
        return gemini.one_model(name) if name else gemini.model_list(models)
    if vendor is anthropic.ANTHROPIC:
        return anthropic.one_model(name, created) if name else anthropic.model_list(models, created)
    facts = model_facts(config.self_hosted)
    return openai.one_model(name, created, facts) if name else openai.model_list(models, created, facts)
