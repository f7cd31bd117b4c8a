"""Walks: long random sequences of what may happen, drawn quickly, and shortened when they fail."""

import random
from typing import Any

from tests.property.messages import BrokenPromiseError
from tests.property.world import World

Step = tuple[Any, ...]  # the name of a method of World, and its arguments

TOPICS = ("t/a", "t/b")
FILTERS = ("t/a", "t/b", "t/+", "#")
_WEIGHTS = {
    "connect_sender": 3,
    "connect_receiver": 4,
    "disconnect": 3,
    "subscribe": 4,
    "unsubscribe": 1,
    "publish": 14,
    "read": 22,
    "reply": 22,
    "congest": 3,
    "store": 14,
    "cut_power": 2,
}


def random_walk(seed: int, steps: int) -> list[Step]:
    """Return the walk of this seed."""
    chance = random.Random(seed)
    names = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=steps)
    begin: Step = ("begin", [(0, "#", chance.randrange(1, 3)), (1, "t/a", chance.randrange(3))])
    return [begin, *((name, *_arguments(name, chance)) for name in names)]


def _arguments(name: str, chance: random.Random) -> Step:
    one = chance.randrange(2)
    mostly = chance.random() < 0.9
    match name:
        case "connect_sender":
            return one, mostly
        case "connect_receiver":
            return one, mostly, chance.randrange(6)
        case "disconnect":
            return chance.randrange(4), chance.random() < 0.5
        case "subscribe":
            return one, chance.choice(FILTERS), chance.randrange(3)
        case "unsubscribe":
            return one, chance.choice(FILTERS)
        case "publish":
            of_each = chance.choices((0, 1, 2), (1, 2, 2), k=chance.randrange(1, 5))
            return one, chance.choice(TOPICS), of_each
        case "read":
            return (chance.randrange(4),)
        case "reply":
            return one, chance.choice((0, 0, 1, 2)), 1 if mostly else 2
        case "congest":
            return one, chance.random() < 0.4
        case "store":
            return (mostly,)
    return ()


def carry_out(world: World, step: Step) -> None:
    """Let one step happen. Raises BrokenPromiseError, or what the broker raises."""
    getattr(world, step[0])(*step[1:])


def failure(walk: list[Step]) -> str | None:
    """Return what is wrong after a walk, None if nothing is."""
    world = World()
    try:
        for step in walk:
            carry_out(world, step)
        world.settle()
    except BrokenPromiseError as error:
        return str(error)
    except Exception as error:
        return repr(error)
    return None


def shortened(walk: list[Step]) -> list[Step]:
    """Return the fewest steps of a walk that still fail, leaving out ever smaller pieces."""
    size = len(walk) // 2
    while size:
        begin = 0
        while begin < len(walk):
            shorter = walk[:begin] + walk[begin + size :]
            if failure(shorter) is not None:
                walk = shorter
            else:
                begin += size
        size //= 2
    return walk
