"""The app's HTTP routes and rooms: a file for each noun."""

from fleetwire.apps.vending.endpoints import (
    debug,
    dispense,
    goods,
    machines,
    orders,
    payments,
    service,
    telemetry,
)
from fleetwire.apps.vending.endpoints.common import shop_of
from fleetwire.apps.vending.gateways import Gateway
from fleetwire.apps.vending.orders import STATUS_EVENT
from fleetwire.apps.vending.terms import Terms
from fleetwire.kit import App


def add_to(app: App, terms: Terms, gateway: Gateway) -> None:
    """Let the app answer."""
    the_shop = shop_of(terms, gateway)
    for router in (
        goods.products_router,
        orders.routes(the_shop),
        orders.room,
        payments.routes(the_shop),
        dispense.routes(the_shop),
        goods.stock_router,
        machines.router,
        telemetry.router,
        service.router,
    ):
        app.include(router)
    app.include_sockets(orders.kiosks)
    app.on(STATUS_EVENT)(orders.push)
    app.include(debug.routes(terms, the_shop), only_in_development=True)
