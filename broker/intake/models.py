"""The models that rows ask for: the route each takes, or why none serves it."""

import difflib

from broker.domain.route import USE, LicenceNeeded, route_for
from broker.intake.forms.fields import invalid
from broker.intake.problems import ProblemCode, RowRefused, shown

_HINTS = 100
_HINTED_LENGTH = 200


class Models:
    """Finds routes; remembers the hints it gave for unknown models."""

    def __init__(self, routes: frozenset[str], *, use: str | None, default: str | None) -> None:
        """`routes`: those that some account serves. `use`: what the batch is for. `default`: for rows without any."""
        self._routes = routes
        self._use = use
        self._default = default
        self._found: dict[str, str] = {}
        self._hints: dict[str, str] = {}

    def route(self, named: str | None, field: str) -> str:
        """The route of a row that names this model, or none; raises `RowRefused`."""
        if named is not None and self._default is None and (route := self._found.get(named)) is not None:
            return route
        model = self._default if named is None else named
        if model is None:
            raise RowRefused(ProblemCode.MISSING_FIELD, f"{field} is missing, and no model was said for all rows")
        if self._default is not None and model != self._default:
            raise invalid(f"{field} is {shown(model)}, and the batch was submitted for {shown(self._default)}")
        route = self._found.get(model)
        if route is None:
            route = self._found[model] = self._looked_up(model)
        return route

    def _looked_up(self, model: str) -> str:
        route = route_for(model, self._use, self._routes)
        if isinstance(route, str):
            return route
        why = self._no_account(model) if route is None else self._licensed(model, route)
        raise RowRefused(ProblemCode.UNKNOWN_MODEL, why, model=model)

    def _licensed(self, model: str, needed: LicenceNeeded) -> str:
        return f"the batch may not use the model {shown(model)}: {needed}"

    def _no_account(self, model: str) -> str:
        message = self._hints.get(model)
        if message is None:
            message = f"no account serves the model {shown(model)}"
            # Each distinct name is compared with every route: a file with a new name per row must not pay for all.
            if len(self._hints) < _HINTS and len(model) <= _HINTED_LENGTH:
                message += self._nearest(model)
                self._hints[model] = message
        return message

    def _nearest(self, model: str) -> str:
        served = [route for route in self._routes if USE not in route]
        near = difflib.get_close_matches(model, sorted(served), n=3)
        if near:
            return f"; did you mean {' or '.join(map(shown, near))}?"
        known = sorted(route for route in served if "@" not in route)[:3]
        return f"; known are {', '.join(map(shown, known))}" if known else ""
