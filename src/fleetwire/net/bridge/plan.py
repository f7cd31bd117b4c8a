"""BridgePlan: what a bridge is asked to do, as the settings say it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

MASK = "********"

Direction = Literal["in", "out", "both"]


@dataclass(frozen=True)
class TopicRule:
    """Which topics go where: `local_prefix + X` here is `remote_prefix + X` there.

    X is what `filter` matches. `out` is from here to there. `qos` bounds that of a message.
    """

    filter: str
    direction: Direction = "out"
    qos: int = 1
    local_prefix: str = ""
    remote_prefix: str = ""

    @property
    def goes_out(self) -> bool:
        """Whether messages of this broker go to the other."""
        return self.direction != "in"

    @property
    def comes_in(self) -> bool:
        """Whether messages of the other broker come to this one."""
        return self.direction != "out"

    @property
    def local_filter(self) -> str:
        """The Topic Filter here."""
        return self.local_prefix + self.filter

    @property
    def remote_filter(self) -> str:
        """The Topic Filter there."""
        return self.remote_prefix + self.filter


@dataclass(frozen=True)
class BridgePlan:
    """One bridge. `scheme` is mqtt, mqtts, ws or wss; the files are PEM.

    `client_id` "" lets the bridge choose one. `version` is that of MQTT, "auto" means 5 if the
    other side speaks it and else 3.1.1.
    """

    name: str
    scheme: str
    host: str
    port: int
    path: str = "/mqtt"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    client_id: str = ""
    version: Literal["auto", "5", "3.1.1"] = "auto"
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    topics: tuple[TopicRule, ...] = ()

    @property
    def title(self) -> str:
        """What it is, for people."""
        return f"Bridge {self.name}"

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme in ("mqtts", "wss")

    @property
    def websocket(self) -> str | None:
        """The path of the WebSocket, None without one."""
        return self.path if self.scheme in ("ws", "wss") else None

    @property
    def url(self) -> str:
        """The address for people: the password masked."""
        login = self.username or ""
        if self.password is not None:
            login += f":{MASK}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        where = f"{host}:{self.port}{self.websocket or ''}"
        return f"{self.scheme}://{login}@{where}" if login else f"{self.scheme}://{where}"

    def __str__(self) -> str:
        return f"{self.name} {self.url}"
