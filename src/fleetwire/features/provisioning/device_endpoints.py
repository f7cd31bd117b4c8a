"""HTTP for devices, without credentials: by a claim code or a fleet key they get theirs."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response, status

from fleetwire.features.provisioning.claims import Claims
from fleetwire.features.provisioning.device_schemas import (
    AnswerView,
    ClaimUse,
    EnrolmentRequest,
    LetInView,
    Poll,
)
from fleetwire.features.provisioning.enrolling import POLL_AFTER_S, Answer, Enrolling
from fleetwire.kit.http import open_to_all, service
from fleetwire.kit.people import remote_of

router = APIRouter(prefix="/api/v1/provision", tags=["provisioning"])

TheClaims = Annotated[Claims, service(Claims)]
TheEnrolling = Annotated[Enrolling, service(Enrolling)]

# Of one address: a whole factory may share it. Each ask and each claim is a write.
CLAIMS_PER_MINUTE = 120
ASKS_PER_MINUTE = 600
POLLS_PER_MINUTE = 6_000

_REFUSED: dict[int | str, dict[str, Any]] = {
    401: {"description": "Unknown, used, expired or revoked"},
    409: {"description": "The device_id is taken, or the device has connected already"},
    429: {"description": "Too many attempts failed; Retry-After says when again"},
}
_DECIDED = _REFUSED | {
    202: {"description": "Nobody has decided yet: poll", "model": AnswerView},
    403: {"description": "Somebody decided that the device is not let in"},
}


@router.post("/claim", responses=_REFUSED, dependencies=[open_to_all(CLAIMS_PER_MINUTE)])
async def claim(
    body: ClaimUse, request: Request, response: Response, claims: TheClaims
) -> LetInView:
    """Use a claim code, once: the answer is how the device connects."""
    response.headers["Cache-Control"] = "no-store"
    let_in = await claims.take(
        body.code, body.device_id, remote=remote_of(request), reached=_host_of(request)
    )
    return LetInView.of(let_in)


@router.post("/enrol", responses=_DECIDED, dependencies=[open_to_all(ASKS_PER_MINUTE)])
async def enrol(
    body: EnrolmentRequest, request: Request, response: Response, enrolling: TheEnrolling
) -> AnswerView:
    """Ask to be let in with a fleet key. 202: somebody has to decide, poll; 200: you are in."""
    answer = await enrolling.ask(
        body.fleet_key,
        body.device_id,
        app=body.app,
        type=body.type,
        facts=body.facts,
        remote=remote_of(request),
        reached=_host_of(request),
    )
    return _told(answer, response)


@router.post("/poll", responses=_DECIDED, dependencies=[open_to_all(POLLS_PER_MINUTE)])
async def poll(
    body: Poll, request: Request, response: Response, enrolling: TheEnrolling
) -> AnswerView:
    """Say how far a request is; once it was approved, how the device connects.

    If that answer was lost, poll again: until the device has first connected each answer has a new
    password, and the one before it is revoked.
    """
    answer = await enrolling.fetch(
        body.poll_token, remote=remote_of(request), reached=_host_of(request)
    )
    return _told(answer, response)


def _told(answer: Answer, response: Response) -> AnswerView:
    response.headers["Cache-Control"] = "no-store"
    if answer.let_in is None:
        response.status_code = status.HTTP_202_ACCEPTED
        response.headers["Retry-After"] = str(POLL_AFTER_S)
    return AnswerView.of(answer)


def _host_of(request: Request) -> str:
    try:
        return request.url.hostname or ""
    except ValueError:  # no host that anybody could be reached at
        return ""
