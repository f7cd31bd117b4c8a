"""`fleetwire doctor`: runs the checks and tells what they found."""

import json
from collections.abc import Callable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fleetwire.cli.checks import broker, database, machine, ports, sign_in
from fleetwire.cli.checks.finding import Finding
from fleetwire.errors import SettingsError
from fleetwire.settings import NOT_SET, Settings

MARKS = {"good": "[green]✓[/]", "notice": "[yellow]![/]", "wrong": "[red]✗[/]"}


def run(
    load: Callable[[], Settings],
    username: str | None,
    password: str | None,
    *,
    as_json: bool,
) -> int:
    """Check everything, tell it, and return the exit status: 1 if something is wrong."""
    findings = [machine.check_python(), machine.check_clock()]
    settings: Settings | None = None
    try:
        settings = load()
    except SettingsError as error:
        # The rest stands on the settings.
        advice = "Correct it; the other checks need it."
        findings.append(Finding("configuration", "wrong", str(error), advice))
    else:
        findings.append(Finding("configuration", "good", _summary(settings)))
        findings += _check(settings, username, password)
    is_well = all(finding.level != "wrong" for finding in findings)
    if as_json:
        _tell_program(findings, settings, is_well)
    else:
        _tell_person(findings, settings, is_well)
    return 0 if is_well else 1


def _check(settings: Settings, username: str | None, password: str | None) -> list[Finding]:
    findings = machine.check_data_dir(settings)
    apps, finding = machine.load(settings)
    findings.append(finding)
    running = ports.is_running(settings)
    findings += ports.check_ports(settings, ports.ports_of(settings, apps), running)
    findings += broker.check_broker(settings, running, username, password)
    findings += sign_in.check_authentication(settings, running)
    findings += database.check_database(settings, apps)
    return findings


def _summary(settings: Settings) -> str:
    chosen = sorted(set(settings.sources.values()))
    return f"from {', '.join(chosen)}" if chosen else "nothing set, defaults hold"


def _tell_person(findings: list[Finding], settings: Settings | None, is_well: bool) -> None:
    console = Console(highlight=False)
    if settings is not None:
        table = Table("setting", "value", "from", box=None)
        for name, value, source in settings.shown():
            # Bounds that nobody set would hide what somebody did; --json has them all.
            if source != "default" or ("." not in name and value != NOT_SET):
                table.add_row(name, escape(value), source)
        console.print(table)
        console.print()
    for finding in findings:
        mark = MARKS[finding.level]
        console.print(f"{mark} {finding.about}: {escape(finding.found)}", soft_wrap=True)
        if finding.advice:
            console.print(f"    → {escape(finding.advice)}", soft_wrap=True)
    console.print()
    console.print("All is well." if is_well else "Something is wrong: see the lines with ✗.")


def _tell_program(findings: list[Finding], settings: Settings | None, is_well: bool) -> None:
    shown = [] if settings is None else settings.shown()
    Console(soft_wrap=True, highlight=False, markup=False, emoji=False).print(
        json.dumps(
            {
                "ok": is_well,
                "checks": [finding.as_json() for finding in findings],
                "settings": {
                    name: {"value": value, "from": source} for name, value, source in shown
                },
            },
            ensure_ascii=False,
        )
    )
