"""The app's HTTP routes: a file for each noun."""

from fastapi import APIRouter

from fleetwire.apps.vending.endpoints import (
    debug,
    dispense,
    machines,
    orders,
    payments,
    products,
    service,
    stock,
    telemetry,
)
from fleetwire.apps.vending.endpoints.depends import shop_of
from fleetwire.apps.vending.gateways import Gateway
from fleetwire.apps.vending.terms import Terms


def routers_of(terms: Terms, gateway: Gateway) -> list[APIRouter]:
    """Return all routes but those that exist in development only."""
    the_shop = shop_of(terms, gateway)
    return [
        products.router,
        orders.routes(the_shop),
        payments.routes(the_shop),
        dispense.routes(the_shop),
        stock.router,
        machines.router,
        telemetry.router,
        service.router,
    ]


def debug_router_of(terms: Terms, gateway: Gateway) -> APIRouter:
    """Return the routes that exist in development only."""
    return debug.routes(terms, shop_of(terms, gateway))
