"""What the benches' commands have in common: words, a folder, and an exit status."""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from bench.generator import LoadError, build
from tests.house import HouseError

BUILD_FOLDER = Path(__file__).resolve().parent.parent / "build"

PlanT = TypeVar("PlanT")
Measure = Callable[[Console, PlanT, Path, argparse.Namespace], int]


def parser_for(name: str, description: str, seconds: str) -> argparse.ArgumentParser:
    """Return a parser with the words that every bench knows; `seconds` is the usual length."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=description)
    parser.add_argument("--seconds", type=float, help=f"length of each load ({seconds})")
    parser.add_argument("--quick", action="store_true", help="a few seconds: does it work at all?")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument(
        "--folder",
        type=Path,
        default=BUILD_FOLDER,
        help="where the data goes; its disk decides how long a commit takes (build/)",
    )
    return parser


def changed(plan: PlanT, arguments: argparse.Namespace, names: list[str]) -> PlanT:
    """Return the plan with what was said of these fields on the command line."""
    said: dict[str, Any] = {name: getattr(arguments, name) for name in names}
    return replace(plan, **{name: value for name, value in said.items() if value is not None})  # type: ignore[type-var]  # plans are dataclasses


def run(measure: Measure[PlanT], plan: PlanT, arguments: argparse.Namespace) -> int:
    """Measure in a folder of its own; return the measurement's status, or 2 if it failed."""
    console = Console()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    try:
        build()
        with tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.folder) as folder:
            return measure(console, plan, Path(folder), arguments)
    except (LoadError, HouseError) as error:
        console.print(f"The run failed: {error}", markup=False)
        return 2
