"""`fleetwire migrate`, `backup` and `restore`: what lies in the data folder."""

from pathlib import Path
from typing import Annotated

import typer

from fleetwire.cli.options import Apps, DataDir, settings


def migrate(
    data_dir: DataDir = None,
    apps: Apps = None,
    check: Annotated[
        bool, typer.Option("--check", help="Say what would be done and whether it can be.")
    ] = False,
) -> None:
    """Bring the database to this version's form; `serve` does so by itself.

    [dim]fleetwire migrate --data-dir /var/lib/fleetwire[/]

    [dim]fleetwire migrate --check   (changes nothing; exit status 1: there is no room)[/]
    """
    from fleetwire.cli import migrate as migrating

    known = settings(data_dir=data_dir, apps=apps)
    if check:
        raise typer.Exit(migrating.check(known))
    migrating.run(known)


def backup(
    archive: Annotated[Path, typer.Argument(help="The file to write; never overwritten.")],
    data_dir: DataDir = None,
) -> None:
    """Write the database and its secrets into one file, while the server runs or not.

    [dim]fleetwire backup fleetwire-monday.zip --data-dir /var/lib/fleetwire[/]
    """
    from fleetwire.cli.backup import run

    run(settings(data_dir=data_dir), archive)


def restore(
    archive: Annotated[Path, typer.Argument(help="A file that `fleetwire backup` wrote.")],
    data_dir: DataDir = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Without --data-dir: check the file, restore nothing.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also into a folder that is not empty.")
    ] = False,
    apps: Apps = None,
) -> None:
    """Check a backup and put it into a data folder; no server may run there.

    Checksums, integrity, rows and schema are checked each time, before anything is put in place.

    [dim]fleetwire restore fleetwire-monday.zip --verify[/]

    [dim]fleetwire restore fleetwire-monday.zip --data-dir /var/lib/fleetwire[/]
    """
    from fleetwire.cli import backup as backing_up

    known = settings(data_dir=data_dir, apps=apps)
    if data_dir is not None:
        backing_up.put_back(known, archive, force=force)
    elif verify:
        backing_up.verify(known, archive)
    else:
        raise typer.BadParameter("name a --data-dir, or --verify to check the file only")
