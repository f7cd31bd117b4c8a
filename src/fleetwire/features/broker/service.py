"""BrokerService: the broker as a whole, what went wrong by reason, and live traces."""

import time
from importlib.metadata import version

from fleetwire.errors import InvalidValueError
from fleetwire.features.broker.ownership import may_see_client
from fleetwire.features.broker.records import Count, Summary
from fleetwire.features.broker.retained import check_filter
from fleetwire.kit.services import Audit, Caller
from fleetwire.net.server import Server
from fleetwire.net.trace import LONGEST_S, Trace, Wanted
from fleetwire.protocol import constants as c

READ = "broker.read"
WRITE = "broker.write"


class BrokerService:
    """Counts everybody's clients and messages; a trace shows what its caller may see."""

    def __init__(self, server: Server, audit: Audit) -> None:
        self._server = server
        self._audit = audit
        self._began = time.monotonic()
        self._version = version("fleetwire")
        self._traced_by: dict[Trace, Caller] = {}

    def summary(self, caller: Caller) -> Summary:
        """Return the counters of the whole server."""
        caller.require(READ)
        broker = self._server.broker
        stats = broker.stats
        sessions = broker.sessions.values()
        connected = sum(session.link is not None for session in sessions)
        return Summary(
            version=self._version,
            uptime_s=int(time.monotonic() - self._began),
            clients_connected=connected,
            clients_disconnected=len(sessions) - connected,
            connections=len(self._server.connections),
            subscriptions=broker.tree.count,
            retained_messages=len(broker.retained),
            inflight_messages=sum(len(session.inflight) for session in sessions),
            queued_messages=sum(len(session.queue) for session in sessions),
            messages_received=stats.messages_received,
            messages_sent=stats.messages_sent,
            messages_dropped=stats.messages_dropped,
            messages_refused=stats.messages_refused,
            messages_expired=stats.messages_expired,
            bytes_received=stats.bytes_received,
            bytes_sent=stats.bytes_sent,
            connections_accepted=stats.connections,
            connections_refused=stats.connections_refused,
            takeovers=stats.takeovers,
            is_held=self._server.is_held,
        )

    def counters(self, caller: Caller) -> list[Count]:
        """Return what has happened since the start, by reason."""
        caller.require(READ)
        return counts_by_reason(self._server)

    async def trace(
        self,
        caller: Caller,
        *,
        client_id: str | None = None,
        address: str | None = None,
        topic: str | None = None,
        payload: bool = False,
        for_s: float = LONGEST_S,
    ) -> Trace:
        """Begin a trace; whoever reads it ends it with `end_trace`.

        Payloads need the permission to change the broker. Raises InvalidValueError if nothing is
        chosen, TooManyError while too many traces are on.
        """
        caller.require(READ)
        if payload:
            caller.require(WRITE)
        if client_id is None and address is None and topic is None:
            raise InvalidValueError("Choose a client, an address or a topic to trace.")
        if topic is not None:
            check_filter(topic, self._server.broker.limits.topic_levels, field="topic")
        wanted = Wanted(
            client_id, address, topic, payload, lambda grant: may_see_client(caller, grant)
        )
        trace = self._server.tracer.open(wanted, for_s)
        self._traced_by[trace] = caller
        chosen = {"client": client_id, "address": address, "topic": topic, "payload": payload}
        try:
            await self._audit.record(caller, "broker.traced", detail=chosen)
        except BaseException:
            self.end_trace(trace)
            raise
        return trace

    def end_trace(self, trace: Trace) -> None:
        """End a trace."""
        self._traced_by.pop(trace, None)
        self._server.tracer.end(trace)

    def recheck(self, identity: str) -> None:
        """End the traces of an identity whose rights have changed; who still may begins again."""
        for trace, caller in list(self._traced_by.items()):
            if caller.is_identity(identity):
                self.end_trace(trace)


def counts_by_reason(server: Server) -> list[Count]:
    """Return what was refused, dropped or ended by this server since its start, by reason."""
    stats = server.broker.stats
    found = [
        *_counts("connection refused", _named(stats.connections_refused_by_code)),
        *_counts("at the door", server.gatekeeper.counts),
        *_counts("connection ended", stats.disconnections),
        *_counts("message refused", _named(stats.messages_refused_by_code)),
        *_counts("message dropped", stats.dropped),
    ]
    for what, total in (
        ("connection refused", stats.connections_refused),
        ("message refused", stats.messages_refused),
        ("message dropped", stats.messages_dropped),
    ):
        rest = total - sum(each.count for each in found if each.what == what)
        if rest > 0:
            found.append(Count(what, "other", rest))
    return found


def _counts(what: str, counts: dict[str, int]) -> list[Count]:
    return [Count(what, reason, count) for reason, count in sorted(counts.items())]


def _named(counts: dict[int, int]) -> dict[str, int]:
    return {c.reason_name(code): count for code, count in counts.items()}
