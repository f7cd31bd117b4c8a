"""Patterns for `matches`, whose time grows with the text and never faster.

Python's own `re` goes back and tries again: `(a+)+$` takes longer than anybody waits for thirty
letters, and a time limit cannot end it while it holds the interpreter. RE2 walks the text once with
a machine that was built beforehand, within a given memory; in exchange it has no back-references
and no look-around. Patterns and texts are bounded, too, so that the one walk is short; and of the
machines only those used lately are kept, which is what the library does by itself.
"""

from typing import Any, Final

import re2  # type: ignore[import-untyped]  # it has no stubs

from fleetwire.errors import InvalidValueError

MAX_PATTERN_CHARS: Final = 500
MAX_TEXT_CHARS: Final = 8192  # longer text matches nothing
MAX_MEMORY_BYTES: Final = 256 * 1024  # of one pattern's machine


class Pattern:
    """A pattern that is searched for anywhere in a text."""

    __slots__ = ("_options", "_pattern")

    def __init__(self, pattern: str, field: str) -> None:
        """Raise InvalidValueError naming the field for what is no pattern, or too large a one."""
        if len(pattern) > MAX_PATTERN_CHARS:
            raise InvalidValueError(
                f"a pattern must not have more than {MAX_PATTERN_CHARS} characters", field=field
            )
        options: Any = re2.Options()
        options.max_mem = MAX_MEMORY_BYTES
        options.log_errors = False
        options.never_capture = True
        try:
            re2.compile(pattern, options)
        except re2.error as error:
            reason = error.args[0] if error.args else b""
            said = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
            raise InvalidValueError(
                f"the pattern cannot be used: {said or 'it is none'}", field=field
            ) from None
        except UnicodeEncodeError:
            raise InvalidValueError("the pattern must be valid Unicode", field=field) from None
        self._pattern = pattern
        self._options = options

    def is_in(self, text: str) -> bool:
        """Say whether the pattern occurs in the text."""
        if len(text) > MAX_TEXT_CHARS:
            return False
        try:
            return re2.compile(self._pattern, self._options).search(text) is not None
        except UnicodeEncodeError:
            return False
