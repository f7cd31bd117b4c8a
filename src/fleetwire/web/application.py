"""create_application: one ASGI app for one listener."""

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, FastAPI
from fastapi_offline import FastAPIOffline

from fleetwire.kit.app import ErrorForm
from fleetwire.kit.http import Gate
from fleetwire.web.idempotency import AnswerOnce, Idempotency
from fleetwire.web.limits import CheckBody, SecureHeaders
from fleetwire.web.openapi import Creating, tell_whole
from fleetwire.web.problems import ErrorAnswers
from fleetwire.web.visits import AddressVisits

MAX_BODY_BYTES = 1024 * 1024


def create_application(
    *,
    title: str,
    description: str,
    version: str,
    routers: Sequence[APIRouter],
    gate: Gate,
    services: Mapping[type, object],
    prefixes: Sequence[str] = ("",),
    max_body_bytes: int = MAX_BODY_BYTES,
    error_form: ErrorForm | None = None,
    idempotency: Idempotency | None = None,
) -> FastAPI:
    """Return the app: the routers under each prefix, errors as problems, bodies bounded.

    Swagger is at `/docs` and ReDoc at `/redoc`, both served from here without a CDN. Only the first
    prefix is in the OpenAPI document; the others answer the same. With `error_form` domain errors
    are said in that form instead of as problems. With `idempotency` a POST that creates takes an
    Idempotency-Key.
    """
    app = FastAPIOffline(
        title=title,
        description=description,
        version=version,
        root_path_in_servers=False,  # a document may be shown elsewhere than what it is about
        swagger_ui_parameters={"persistAuthorization": True},
    )
    app.state.gate = gate
    app.state.services = services
    app.state.visits = AddressVisits()
    for index, prefix in enumerate(prefixes):
        for router in routers:
            app.include_router(router, prefix=prefix, include_in_schema=index == 0)
    document = tell_whole(app, error_form)
    answers = ErrorAnswers(error_form)
    if idempotency is not None:
        creates = Creating(document, prefixes)
        app.add_middleware(
            AnswerOnce,
            idempotency=idempotency,
            gate=gate,
            answers=answers,
            listener=title,
            creates=creates,
        )
    app.add_middleware(CheckBody, answers=answers, max_bytes=max_body_bytes)
    answers.add_to(app)
    app.add_middleware(SecureHeaders)
    return app
