"""Entity tags: who changes something says what he saw, and overwrites nothing that he did not see.

    @router.get("/things/{id}")
    async def read(id: int, response: Response, ...) -> View:
        response.headers["ETag"] = etag(thing.name, thing.attributes)

    @router.patch("/things/{id}", responses=PRECONDITIONS)
    async def change(id: int, body: Change, if_match: IfMatch, ...) -> View:
        await things.update(..., expects=lambda thing: if_match.check(tag_of(thing)))

The service calls `expects` with the record that it is about to change, within the transaction.
A tag stands for what people set, not for what devices report: that changes all the time.
RFC 9110 §8.8.3 and §13.1.1.
"""

import hashlib
import re
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Header

from fleetwire.errors import DomainError, InvalidValueError

MAX_CHARS = 1024  # of a header: some tags of ours have room in it
TAG_BYTES = 12

PRECONDITIONS: dict[int | str, dict[str, Any]] = {
    412: {"description": "It was changed since: read it again, then decide"}
}
PRECONDITIONS_REQUIRED = PRECONDITIONS | {
    428: {"description": "Send If-Match with the ETag of what you read"}
}

_LIST = re.compile(r'\s*(?:W/)?"[^"\s]*"\s*(?:,\s*(?:W/)?"[^"\s]*"\s*)*')
_TAG = re.compile(r'(?:W/)?"[^"\s]*"')


class PreconditionFailedError(DomainError):
    """What should be changed is not what its reader saw."""

    status = 412


class PreconditionRequiredError(DomainError):
    """This is not changed by anybody who does not say what he saw."""

    status = 428


def etag(*parts: object) -> str:
    """Return the strong tag, quotes included, of something that these parts make up.

    Parts are what JSON can say; equal parts have equal tags, in every process.
    """
    said = msgspec.json.encode(parts, order="deterministic")
    return f'"{hashlib.blake2b(said, digest_size=TAG_BYTES).hexdigest()}"'


class Precondition:
    """The tags of an `If-Match`; without that header every state will do."""

    def __init__(self, header: str | None) -> None:
        self.is_given = header is not None
        self._any = header is None or header.strip() == "*"
        self._tags: list[str] = []
        if header is not None and not self._any:
            if len(header) > MAX_CHARS or not _LIST.fullmatch(header):
                raise InvalidValueError(
                    'If-Match must be the ETag of what you read, such as "0a1b2c", or *',
                    field="If-Match",
                )
            self._tags = _TAG.findall(header)

    def check(self, tag: str) -> None:
        """Raise PreconditionFailedError unless the state of this tag was expected."""
        # Compared as strong tags (RFC 9110 §8.8.3.2): a weak one never matches.
        if not self._any and tag not in self._tags:
            raise PreconditionFailedError(
                "It was changed since you read it: read it again, then decide.", field="If-Match"
            )


def _if_match(
    if_match: Annotated[
        str | None,
        Header(
            max_length=MAX_CHARS,
            description="The ETag of what you read: 412 if it was changed since",
        ),
    ] = None,
) -> Precondition:
    return Precondition(if_match)


def _if_match_required(given: Annotated[Precondition, Depends(_if_match)]) -> Precondition:
    if not given.is_given:
        raise PreconditionRequiredError(
            "Send If-Match with the ETag of what you read, or * for whatever it is.",
            field="If-Match",
        )
    return given


IfMatch = Annotated[Precondition, Depends(_if_match)]
IfMatchRequired = Annotated[Precondition, Depends(_if_match_required)]
