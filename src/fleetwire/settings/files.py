"""The two files that settings are read from."""

import re
import tomllib
from pathlib import Path
from typing import Any

from fleetwire.errors import SettingsError


def read_config(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None


_DOTENV_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)", re.ASCII)
_DOTENV_QUOTED = re.compile(r"""(?:"((?:[^"\\]|\\.)*)"|'([^']*)')\s*(?:#.*)?""")


def read_dotenv(path: Path) -> dict[str, str]:
    """Return the variables of lines such as `NAME=value # why`, NAME="value" or NAME='value'."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, IsADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None
    variables = {}
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        parts = _DOTENV_LINE.fullmatch(line)
        if parts is None:
            raise SettingsError(f"{path}, line {number}, is not NAME=value")
        name, value = parts[1], parts[2].strip()
        if value[:1] in ("'", '"'):
            quoted = _DOTENV_QUOTED.fullmatch(value)
            if quoted is None:
                raise SettingsError(f"{path}, line {number}: the quote after {name}= does not end")
            value = quoted[2] if quoted[1] is None else re.sub(r"\\(.)", r"\1", quoted[1])
        else:
            value = re.split(r"\s+#", value, maxsplit=1)[0]
        variables[name] = value
    return variables
