"""`fleetwire publish` and `subscribe`: messages by hand, over MQTT."""

from typing import Annotated

import typer

from fleetwire.cli.options import ClientId, Host, Password, Port, Qos, Username, settings


def publish(
    topic: Annotated[str, typer.Argument(help="Topic name.")],
    payload: Annotated[str, typer.Argument(help="Text, @file, or - for standard input.")],
    qos: Qos = 1,
    retain: Annotated[bool, typer.Option("--retain", "-r", help="Keep for subscribers.")] = False,
    username: Username = None,
    password: Password = None,
    host: Host = None,
    port: Port = None,
    client_id: ClientId = "",
) -> None:
    """Publish one message and wait for its acknowledgement.

    [dim]fleetwire publish devices/bp-001/data '{"metric_type":"heart_rate","value":72}'[/]

    [dim]fleetwire publish devices/bp-001/data @reading.json -u bp-001 -P 1f0c…[/]
    """
    from fleetwire.cli import messages

    target = messages.Target.of(settings(), host, port, username, password, client_id)
    content = messages.read_payload(payload)
    raise typer.Exit(messages.publish(target, topic, content, qos, retain))


def subscribe(
    topic_filters: Annotated[list[str], typer.Argument(help="Topic filters.")],
    qos: Qos = 1,
    count: Annotated[int | None, typer.Option("--count", "-C", min=1, help="End after.")] = None,
    timeout: Annotated[
        str | None, typer.Option("--timeout", "-W", help="End after so long: 10s, 5m.")
    ] = None,
    username: Username = None,
    password: Password = None,
    host: Host = None,
    port: Port = None,
    client_id: ClientId = "",
) -> None:
    """Write a line with topic and payload for each message.

    [dim]fleetwire subscribe 'devices/#'[/]

    [dim]fleetwire subscribe devices/bp-001/commands -u bp-001 -P 1f0c… --count 1 --timeout 1m[/]
    """
    from fleetwire.cli import messages
    from fleetwire.kit.durations import parse_duration

    timeout_s = None if timeout is None else parse_duration(timeout, "--timeout")
    target = messages.Target.of(settings(), host, port, username, password, client_id)
    raise typer.Exit(messages.subscribe(target, topic_filters, qos, count, timeout_s))
