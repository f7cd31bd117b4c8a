"""QR codes of claim URLs, for labels, screens and terminals."""

import io
from typing import Final

import segno

CORRECTION: Final = "m"  # readable with 15 % of it scratched away (ISO/IEC 18004)
PIXELS: Final = 6  # of one module, until somebody scales it


def svg(text: str) -> str:
    """Return an SVG document: black on white, with the quiet zone around it that scanners need."""
    out = io.BytesIO()
    segno.make(text, error=CORRECTION, micro=False).save(
        out, kind="svg", scale=PIXELS, light="#fff", svgversion=1.1
    )
    return out.getvalue().decode()


def terminal(text: str) -> str:
    """Return lines of half blocks that show it on a terminal, light on dark or dark on light."""
    out = io.StringIO()
    segno.make(text, error=CORRECTION, micro=False).terminal(out, compact=True, border=2)
    return out.getvalue()
