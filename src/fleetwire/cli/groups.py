"""ListGroup: a command with subcommands that lists when none of them is named."""

from typing import Any

from typer.core import TyperGroup

LIST = "list"


class ListGroup(TyperGroup):
    """`fleetwire retained 'a/#'` is `fleetwire retained list 'a/#'`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = [LIST, *args]
        return super().parse_args(ctx, args)
