"""Lists of what cannot be made here: an account that has none answers with an empty list, at Stripe as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..contract.beyond import LISTS
from ..lists import PAGING, Page, slice_of
from ..operations import operation
from .country_specs import COUNTRY_SPECS
from .tax_codes import TAX_CODES

if TYPE_CHECKING:
    from ..sandbox import Sandbox

# What Stripe itself brings along, for every account.
_GIVEN: dict[str, list[dict[str, Any]]] = {"/v1/country_specs": COUNTRY_SPECS, "/v1/tax_codes": TAX_CODES}


def _list_at(path: str, object_type: str) -> Callable[..., Page]:
    def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
        return slice_of(_GIVEN.get(path, []), params, path, object_type)

    return list_all


for _path, _object_type in LISTS.items():
    operation("get", _path, PAGING)(_list_at(_path, _object_type))
for _path, _object_type, _filters in (
    ("/v1/credit_notes", "credit_note", "created customer invoice"),
    ("/v1/entitlements/features", "entitlements.feature", "archived lookup_key"),
    ("/v1/tax_ids", "tax_id", "owner.type"),
    ("/v1/tax_rates", "tax_rate", "active created inclusive"),
):
    operation("get", _path, f"{PAGING} {_filters}")(_list_at(_path, _object_type))


@operation("get", "/v1/entitlements/active_entitlements", PAGING + " customer")
def list_active_entitlements(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    sandbox.get("customer", params["customer"], "customer")
    return slice_of([], params, "/v1/entitlements/active_entitlements", "entitlements.active_entitlement")


@operation("get", "/v1/customers/{customer}/tax_ids", PAGING)
def list_tax_ids(sandbox: Sandbox, params: dict[str, Any], customer: str) -> Page:
    sandbox.get("customer", customer, "customer", in_path=True)
    return slice_of([], params, f"/v1/customers/{customer}/tax_ids", "tax_id")
