"""FilterTree: which of many Topic Filters match a Topic Name, by the levels of the name."""

from collections.abc import Iterator


class _Node:
    __slots__ = ("children", "is_end")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.is_end = False


class FilterTree:
    """A set of Topic Filters."""

    def __init__(self) -> None:
        self._root = _Node()

    def add(self, topic_filter: str) -> None:
        """Add a filter; it may be there already."""
        node = self._root
        for level in topic_filter.split("/"):
            node = node.children.setdefault(level, _Node())
        node.is_end = True

    def remove(self, topic_filter: str) -> None:
        """Remove a filter that is there."""
        levels = topic_filter.split("/")
        path = [self._root]
        for level in levels:
            path.append(path[-1].children[level])
        path[-1].is_end = False
        for depth in range(len(levels), 0, -1):
            if path[depth].children or path[depth].is_end:
                return
            del path[depth - 1].children[levels[depth - 1]]

    def find(self, topic: str) -> Iterator[str]:
        """Yield the filters that match a Topic Name."""
        yield from _find(self._root, topic.split("/"), 0, [])


def _find(node: _Node, levels: list[str], depth: int, path: list[str]) -> Iterator[str]:
    # [MQTT-4.7.2-1] A wildcard that comes first does not match a name with $.
    is_open = depth > 0 or not levels[0].startswith("$")
    rest = node.children.get("#")
    if rest is not None and rest.is_end and is_open:
        yield "/".join([*path, "#"])
    if depth == len(levels):
        if node.is_end:
            yield "/".join(path)
        return
    child = node.children.get(levels[depth])
    if child is not None:
        yield from _find(child, levels, depth + 1, [*path, levels[depth]])
    wild = node.children.get("+") if is_open else None
    if wild is not None:
        yield from _find(wild, levels, depth + 1, [*path, "+"])
