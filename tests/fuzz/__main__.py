"""Fuzz the decoder, guided by coverage: `python -m tests.fuzz --seconds 600`.

It needs atheris (`pip install atheris`, Linux and macOS), which nothing else here does. An input
that breaks a promise is written to the working folder as `crash-…` and ends the run with status 77.
What was found is merged into the corpus with `--keep`.
"""

import argparse
import sys
from pathlib import Path

DEFAULT_FOLDER = Path("build") / "fuzz"
SECONDS_PER_INPUT = 5


def main() -> None:
    """Fuzz, or keep what an earlier run has found."""
    arguments = _parse()
    found: Path = arguments.folder / "found"
    found.mkdir(parents=True, exist_ok=True)
    if arguments.keep:
        _keep(found)
    else:
        _fuzz(arguments.folder, found, arguments.seconds)


def _fuzz(folder: Path, found: Path, seconds: int) -> None:
    try:
        import atheris
    except ImportError:
        sys.exit("The fuzzer needs atheris: pip install atheris")
    with atheris.instrument_imports(include=["fleetwire.protocol"]):
        from tests.fuzz.target import check
    from tests.fuzz import corpus

    corpus.store([*corpus.read(found), *corpus.read(corpus.FOLDER), *corpus.seeds()], found)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={corpus.LARGEST_BYTES}",
        f"-timeout={SECONDS_PER_INPUT}",
        f"-artifact_prefix={folder}/",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(found)], check)
    atheris.Fuzz()


def _keep(found: Path) -> None:
    from tests.fuzz import corpus

    inputs = [*corpus.seeds(), *corpus.read(corpus.FOLDER), *corpus.read(found)]
    corpus.store(corpus.minimised(inputs), corpus.FOLDER)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the decoder.")
    parser.add_argument("--seconds", type=int, default=600, help="length of the run (600)")
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="working folder")
    parser.add_argument(
        "--keep", action="store_true", help="merge what was found into tests/fuzz/corpus, and end"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
