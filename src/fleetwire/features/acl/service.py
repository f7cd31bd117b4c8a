"""AclTester: may somebody publish or subscribe, and why."""

from typing import Final

import msgspec

from fleetwire.broker.grants import Grant
from fleetwire.broker.intake import error_topic
from fleetwire.errors import InvalidValueError, NotFoundError
from fleetwire.features.accounts.permissions import PERMISSIONS
from fleetwire.features.acl.rights import ANONYMOUS, LISTENERS, Known, Rights
from fleetwire.features.quarantine.rerun import Judge
from fleetwire.kit.services import Caller
from fleetwire.net.authenticator import RefusedError
from fleetwire.protocol.errors import InvalidTopicError
from fleetwire.protocol.topics import (
    Template,
    check_topic_filter,
    check_topic_name,
    covers,
    matches,
    split_shared,
)

READ = "broker.read"
PUBLISH: Final = "publish"
SUBSCRIBE: Final = "subscribe"
RIGHTS_SHOWN: Final = 50
NEEDED: Final = {PUBLISH: "message.publish", SUBSCRIBE: "message.read"}


class Ruling(msgspec.Struct):
    """May it, and why.

    `right` is the Topic Filter that lets it, `template` that right as it was given, `given_by` who
    gave it. `needed` says what is missing. `rights` are the Topic Filters of this action that it
    has, the first RIGHTS_SHOWN.
    """

    allowed: bool
    may_connect: bool
    reason: str
    right: str | None = None
    template: str | None = None
    given_by: str | None = None
    role: str | None = None
    credential: str | None = None
    needed: str | None = None
    rights: list[str] = []


class AclTester:
    """Answers for the identities of the caller's organisation, and for clients that are nobody."""

    def __init__(self, rights: Rights) -> None:
        self._rights = rights

    def test(
        self,
        caller: Caller,
        identity: str,
        action: str,
        topic: str,
        *,
        client_id: str = "",
        listener: str = "tcp",
    ) -> Ruling:
        """Return what a client of this identity would be told now.

        `topic` is a Topic Name to publish to, or a Topic Filter to subscribe to, also a shared one.
        Raises NotFoundError for what is of another organisation, InvalidValueError.
        """
        caller.require(READ)
        asked = _checked(action, topic)
        known = self._rights.find(identity, client_id, listener, caller.organization_id)
        if known.organization_id not in (0, caller.organization_id):
            raise NotFoundError(
                f"There is no {identity[:200]!r} in your organisation.", field="identity"
            )
        ruling = Ruling(False, not known.refusal, "", role=known.role, credential=known.credential)
        grant = known.grant
        if grant is None:
            ruling.reason = f"It may not connect: {known.refusal}"
            ruling.needed = _to_connect(identity, listener)
            return ruling
        ruling.rights = (grant.publish if action == PUBLISH else grant.subscribe)[:RIGHTS_SHOWN]
        if action == SUBSCRIBE and topic == error_topic(client_id):
            ruling.allowed = ruling.may_connect
            ruling.reason = "Everybody may read why his own messages were refused"
            return ruling
        if not _may(grant, action, asked):
            ruling.reason = f"None of its rights covers {topic!r}"
            ruling.needed = self._missing(known, action, asked, client_id)
            return ruling
        ruling.right = _right(grant, action, asked)
        templates = known.publishes if action == PUBLISH else known.subscribes
        ruling.template = next(
            (each for each in templates if covers(Template(each).filter, ruling.right)), None
        )
        ruling.given_by = known.given_by
        if known.refusal:
            ruling.reason = f"It has the right {ruling.right!r}, but may not connect: "
            ruling.reason += known.refusal
            ruling.needed = _to_connect(identity, listener)
            return ruling
        ruling.allowed = True
        ruling.reason = f"Its right {ruling.right!r} covers {topic!r}"
        return ruling

    def _missing(self, known: Known, action: str, asked: str, client_id: str) -> str:
        person = known.person
        if person is None:
            return f"a right to {action} that covers {asked!r}, given by {known.given_by}"
        permission = NEEDED[action]
        if permission not in person.permissions:
            more = msgspec.structs.replace(person, permissions=person.permissions | {permission})
            try:
                would_do = _may(self._rights.of_person(more, client_id), action, asked)
            except RefusedError:
                would_do = False
            if would_do:
                roles = [role for role, may in PERMISSIONS.items() if permission in may]
                return f"the permission {permission!r}: a role of {', '.join(roles)}"
        if action == PUBLISH:
            return (
                "a topic that an app's devices of the organisation read; only devices publish"
                " as devices"
            )
        return "a topic that an app's devices of the organisation publish or read"


class RightsOfNow(Judge):
    """Judges the senders of refused messages by what they may do now."""

    def __init__(self, rights: Rights) -> None:
        self._rights = rights

    def objection(self, identity: str, client_id: str, topic: str) -> str:
        for listener in LISTENERS if identity == ANONYMOUS else LISTENERS[:1]:
            try:
                known = self._rights.find(identity, client_id, listener)
            except (NotFoundError, InvalidValueError):
                return f"{identity} is not known here any more"
            if known.grant is not None:
                if known.grant.may_publish(topic):
                    return ""
                return f"{identity} may not publish to this topic"
        return f"{identity} may not connect any more: {known.refusal}"


def _checked(action: str, topic: str) -> str:
    """Return the topic as rights are asked about it. Raises InvalidValueError."""
    try:
        if action == PUBLISH:
            check_topic_name(topic)
            return topic
        check_topic_filter(topic)
        asked = split_shared(topic)[1]
        check_topic_filter(asked)
        return asked
    except InvalidTopicError as error:
        raise InvalidValueError(f"topic: {error}", field="topic") from None


def _may(grant: Grant, action: str, asked: str) -> bool:
    return grant.may_publish(asked) if action == PUBLISH else grant.may_subscribe(asked)


def _right(grant: Grant, action: str, asked: str) -> str:
    if action == PUBLISH:
        return next(each for each in grant.publish if matches(each, asked))
    return next(each for each in grant.subscribe if covers(each, asked))


def _to_connect(identity: str, listener: str) -> str:
    if identity == ANONYMOUS:
        return f"a listener that lets in clients without credentials; {listener!r} does not"
    if identity.startswith("device:"):
        return "a credential that is neither revoked nor expired"
    return "a key that is neither revoked nor expired, or an account that is open"
