"""Catching: sockets that resume are served from the store until they may go on live.

A filter reads page by page. What is told meanwhile it only notes; once it has read as far as that
it goes on live, and nobody else has his turn in between. What one filter of a socket has brought,
another does not bring again.
"""

import asyncio
from collections.abc import Callable

from fleetwire.apps.messaging import history
from fleetwire.apps.messaging.book import Attachment, Listener
from fleetwire.apps.messaging.errors import UnavailableError
from fleetwire.apps.messaging.history import Message
from fleetwire.apps.messaging.persons import Person
from fleetwire.apps.messaging.telling import push, said
from fleetwire.kit import Store, StoreUnavailableError
from fleetwire.kit.topics import matches

PAGE = 200  # stored messages for a socket before it is asked whether it takes them


class Catching:
    """`may_hear` says whether a stored message of a topic is somebody's to hear."""

    def __init__(self, store: Store, may_hear: Callable[[Person, str], bool]) -> None:
        self._store = store
        self._may_hear = may_hear

    def begin(self, listener: Listener, topic_filter: str) -> None:
        """Let a filter of a socket that resumes be served from the store first."""
        attachment = listener.filters[topic_filter]
        assert listener.since is not None, "only who resumes is served from the store"
        attachment.since = attachment.position = listener.since
        attachment.is_catching = True

    def start(self, listener: Listener) -> None:
        """Serve a socket what is stored after its cursor, beside everything else."""
        if listener.catching is None or listener.catching.done():
            listener.catching = asyncio.create_task(self._catch_all(listener))

    async def _catch_all(self, listener: Listener) -> None:
        try:
            while behind := [
                (topic_filter, each)
                for topic_filter, each in listener.filters.items()
                if each.is_catching
            ]:
                if not await listener.client.settled():
                    return
                await self._catch_up(listener, *behind[0])
        except StoreUnavailableError:
            listener.client.end(UnavailableError("The database does not answer. Connect again."))

    async def _catch_up(
        self, listener: Listener, topic_filter: str, attachment: Attachment
    ) -> None:
        while listener.filters.get(topic_filter) is attachment and attachment.is_catching:
            part = await self._store.read(
                history.after(
                    topic_filter,
                    attachment.position,
                    PAGE,
                    listener.person.reader(),
                )
            )
            for message in part.messages:
                if self._may_hear(listener.person, message.topic) and not _has_had(
                    listener, attachment, message
                ):
                    qos = min(message.qos, attachment.qos)
                    told = said(message, str(message.id), qos, retain=False)
                    push(listener, message.topic, told, qos)
            attachment.position = max(attachment.position, part.position)
            # What was told while this was read is read again; nobody else has his turn in between.
            if part.is_last and attachment.heard <= attachment.position:
                attachment.is_catching = False
            elif not await listener.client.settled():
                return


def _has_had(listener: Listener, catching: Attachment, message: Message) -> bool:
    """Say whether another filter of the socket has brought it this stored message."""
    return any(
        each is not catching
        and each.since < message.id
        and (not each.is_catching or message.id <= each.position)
        and matches(topic_filter, message.topic)
        for topic_filter, each in listener.filters.items()
    )
