"""A secret that the first start makes and later ones find."""

import os
import secrets
from pathlib import Path

from fleetwire.errors import SettingsError
from fleetwire.settings.values import MIN_SECRET_CHARS


def secret_file(path: Path) -> str:
    """Return the secret kept in this file, made on the first call (64 hex characters, mode 0600).

    Raises SettingsError if it can neither be read nor made, or is damaged.
    """
    try:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            secret = path.read_text().strip()
        else:
            secret = secrets.token_hex(32)
            with os.fdopen(descriptor, "w") as file:
                file.write(secret + "\n")
                file.flush()
                os.fsync(file.fileno())
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The secret in {path} cannot be read or made: {error}") from None
    if len(secret) < MIN_SECRET_CHARS:
        raise SettingsError(
            f"The secret in {path} is damaged (too short). Delete the file and start again; "
            "everybody will have to sign in anew."
        )
    return secret
