"""SubscriptionTree: from a Topic Name to everyone who wants it.

A tree with one level per node, so that finding the takers of a name costs by its levels and not by
the number of subscriptions. Results are kept by Topic Name until a subscription changes.
"""

from fleetwire.broker.session import Session
from fleetwire.broker.takers import Taker
from fleetwire.protocol.packets import Subscription
from fleetwire.protocol.topics import split_shared

REMEMBERED_ROUTES = 50_000
LONGEST_REMEMBERED = 512  # characters; a longer name is not worth its memory


class Target:
    """One session that takes a Topic Name, its overlapping subscriptions made one.

    The highest QoS of them counts, and all their Subscription Identifiers (MQTT 5.0 §3.3.4).
    """

    __slots__ = ("exact", "no_local", "qos", "retain_as_published", "session", "subscription_ids")

    def __init__(
        self, session: Session, subscription: Subscription, identifier: int, exact: bool
    ) -> None:
        self.session = session
        self.qos = subscription.qos
        self.no_local = subscription.no_local
        self.retain_as_published = subscription.retain_as_published
        self.subscription_ids: list[int] | None = [identifier] if identifier else None
        self.exact = exact  # subscribed to this very name, without wildcards

    @property
    def is_special(self) -> bool:
        """Whether its messages differ from those of others."""
        return self.subscription_ids is not None

    def merge(self, subscription: Subscription, identifier: int, exact: bool) -> None:
        """Count in another of the session's subscriptions."""
        if subscription.qos > self.qos:
            self.qos = subscription.qos
        self.no_local = self.no_local and subscription.no_local
        self.retain_as_published = self.retain_as_published or subscription.retain_as_published
        if identifier:
            self.subscription_ids = [*(self.subscription_ids or []), identifier]
        self.exact = self.exact or exact


class SharedGroup:
    """The members of one Shared Subscription: each message is for one of them (§4.8.2)."""

    __slots__ = ("_order", "_turn", "members")

    def __init__(self) -> None:
        self.members: dict[Session, Target] = {}
        self._order: list[Target] = []
        self._turn = 0

    def add(self, session: Session, target: Target) -> None:
        """Let a session take part, or change how it does."""
        self.members[session] = target
        self._order = list(self.members.values())

    def remove(self, session: Session) -> None:
        """End a session's part."""
        del self.members[session]
        self._order = list(self.members.values())

    def choose(self, qos: int, leaving: Session | None = None) -> Target | None:
        """Return the connected member that has least to do; they take turns where it is equal.

        With QoS above 0 and nobody connected, the absent member whose queue is shortest: its
        session keeps the message. None if nobody can have it.
        """
        order = self._order
        count = len(order)
        best: Target | None = None
        best_load = 0
        best_at = 0
        for step in range(count):
            at = (self._turn + step) % count
            target = order[at]
            session = target.session
            link = session.link
            if session is leaving or link is None or link.congested:
                continue
            load = len(session.inflight) + len(session.queue)
            if best is None or load < best_load:
                best, best_load, best_at = target, load, at
        if best is not None:
            self._turn = best_at + 1
            return best
        if qos == 0:
            return None
        for target in order:
            session = target.session
            if session is leaving or not (session.is_persistent or session.link is not None):
                continue
            load = len(session.queue)
            if best is None or load < best_load:
                best, best_load = target, load
        return best


class Route:
    """Everyone who takes one Topic Name: sessions of clients, and takers within the house.

    `run_taker` or `run_target` is the one and only, if there is just one, and it can be given
    messages many at a time.
    """

    __slots__ = ("groups", "run_taker", "run_target", "takers", "targets")

    def __init__(self) -> None:
        self.targets: list[Target] = []
        self.takers: list[Taker] = []
        self.groups: list[SharedGroup] = []
        self.run_taker: Taker | None = None
        self.run_target: Target | None = None


class _Node:
    __slots__ = ("children", "groups", "sessions", "takers")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.sessions: dict[Session, tuple[Subscription, int]] = {}
        self.groups: dict[str, SharedGroup] = {}
        self.takers: list[Taker] = []

    @property
    def is_empty(self) -> bool:
        return not (self.children or self.sessions or self.takers or self.groups)


class SubscriptionTree:
    """All subscriptions of the broker."""

    def __init__(self) -> None:
        self._root = _Node()
        self._routes: dict[str, Route] = {}
        self.count = 0  # of clients' subscriptions

    def find(self, topic_name: str) -> Route:
        """Return who takes this Topic Name."""
        route = self._routes.get(topic_name)
        if route is None:
            route = self._match(topic_name)
            if len(topic_name) <= LONGEST_REMEMBERED:
                if len(self._routes) >= REMEMBERED_ROUTES:
                    self._routes.clear()
                self._routes[topic_name] = route
        return route

    def subscribe(self, session: Session, subscription: Subscription, identifier: int) -> bool:
        """Add or replace a session's subscription; return whether it is new."""
        group_name, topic_filter = split_shared(subscription.topic_filter)
        node = self._node(topic_filter)
        if group_name is None:
            is_new = session not in node.sessions
            node.sessions[session] = (subscription, identifier)
        else:
            group = node.groups.get(group_name)
            if group is None:
                group = node.groups[group_name] = SharedGroup()
            is_new = session not in group.members
            group.add(session, Target(session, subscription, identifier, False))
        self.count += is_new
        self._routes.clear()
        return is_new

    def unsubscribe(self, session: Session, topic_filter: str) -> None:
        """Remove a session's subscription, if it is there."""
        group_name, topic_filter = split_shared(topic_filter)
        path = self._path(topic_filter)
        if path is None:
            return
        node = path[-1]
        if group_name is None:
            if node.sessions.pop(session, None) is None:
                return
        else:
            group = node.groups.get(group_name)
            if group is None or session not in group.members:
                return
            group.remove(session)
            if not group.members:
                del node.groups[group_name]
        self.count -= 1
        self._prune(topic_filter, path)
        self._routes.clear()

    def add_taker(self, topic_filter: str, taker: Taker) -> None:
        """Let a taker within the house have what matches."""
        self._node(topic_filter).takers.append(taker)
        self._routes.clear()

    def remove_taker(self, topic_filter: str, taker: Taker) -> None:
        """End what `add_taker` began."""
        path = self._path(topic_filter)
        if path is not None and taker in path[-1].takers:
            path[-1].takers.remove(taker)
            self._prune(topic_filter, path)
            self._routes.clear()

    def _node(self, topic_filter: str) -> _Node:
        node = self._root
        for level in topic_filter.split("/"):
            child = node.children.get(level)
            if child is None:
                child = _Node()
                node.children[level] = child
            node = child
        return node

    def _path(self, topic_filter: str) -> list[_Node] | None:
        path = [self._root]
        for level in topic_filter.split("/"):
            child = path[-1].children.get(level)
            if child is None:
                return None
            path.append(child)
        return path

    def _prune(self, topic_filter: str, path: list[_Node]) -> None:
        levels = topic_filter.split("/")
        for depth in range(len(levels), 0, -1):
            node = path[depth]
            if not node.is_empty:
                return
            del path[depth - 1].children[levels[depth - 1]]

    def _match(self, topic_name: str) -> Route:
        levels = topic_name.split("/")
        nodes = [self._root]
        found: list[tuple[_Node, bool]] = []
        for depth, level in enumerate(levels):
            # [MQTT-4.7.2-1] A filter that starts with a wildcard does not match a name with $.
            wildcards = depth > 0 or not level.startswith("$")
            deeper: list[_Node] = []
            for node in nodes:
                children = node.children
                if wildcards:
                    rest = children.get("#")
                    if rest is not None:
                        found.append((rest, False))
                    any_level = children.get("+")
                    if any_level is not None:
                        deeper.append(any_level)
                same = children.get(level)
                if same is not None:
                    deeper.append(same)
            nodes = deeper
            if not nodes:
                break
        exact = self._path(topic_name)
        for node in nodes:
            found.append((node, exact is not None and node is exact[-1]))
            rest = node.children.get("#")  # "sport/#" also matches "sport" [MQTT 5.0 §4.7.1.2]
            if rest is not None:
                found.append((rest, False))
        return _merge(found)


def _merge(found: list[tuple[_Node, bool]]) -> Route:
    route = Route()
    by_session: dict[Session, Target] = {}
    for node, exact in found:
        for taker in node.takers:
            if taker not in route.takers:
                route.takers.append(taker)
        route.groups += node.groups.values()
        for session, (subscription, identifier) in node.sessions.items():
            target = by_session.get(session)
            if target is None:
                target = Target(session, subscription, identifier, exact)
                by_session[session] = target
                route.targets.append(target)
            else:
                target.merge(subscription, identifier, exact)
    if not route.groups and len(route.takers) + len(route.targets) == 1:
        if route.targets:
            route.run_target = route.targets[0]
        elif route.takers[0].holds_tickets and route.takers[0].takes_runs:
            route.run_taker = route.takers[0]
    return route
