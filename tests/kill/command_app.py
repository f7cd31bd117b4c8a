"""An app whose devices answer commands; `installed` makes a server find it."""

from pathlib import Path

SOURCE = """
from fleetwire.kit import App

app = App(
    "killed",
    publishes=["killed/{device_id}/data"],
    subscribes=["killed/{device_id}/commands"],
    command_topic="killed/{device_id}/commands",
    response_topic="killed/{device_id}/answers",
    command_id_field="command_id",
)
"""


def installed(folder: Path) -> dict[str, str]:
    """Put the app into a folder as a wheel would; return the environment that finds it there."""
    folder.mkdir()
    (folder / "killed_app.py").write_text(SOURCE)
    about = folder / "killed_app-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: killed-app\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[fleetwire.apps]\nkilled = killed_app:app\n")
    return {"PYTHONPATH": str(folder), "FLEETWIRE_APPS": "killed"}
