"""How things are printed: what peers wrote is made harmless here, and tables and JSON are laid out.

A name or a message from a peer may carry terminal escapes, bidi overrides or floods of combining marks.
None of them reaches the terminal: each is shown as its escape, so that nothing disappears in silence.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, tzinfo
from typing import Final

import click

MAX_MARKS = 4  # combining marks on one letter: more than any script needs, fewer than a tower takes
GAP = "  "
FSI, PDI = "\u2068", "\u2069"

_ALWAYS_HARMFUL: Final = (
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1: escapes, cursor moves, titles, clipboard
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"  # invisible, or turning what follows
    "\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"  # bidi, line ends, nothing
    "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"  # signs that lie under what follows
    "\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"  # layout of rare scripts
    "\ud800-\udfff\U000e0000-\U000e0fff"  # half characters; tags: invisible text
)
_HARMFUL: Final = re.compile(f"[{_ALWAYS_HARMFUL}]")
_OURS: Final = frozenset({FSI, PDI})
_NOT_OURS: Final = re.compile(f"(\x1b\\[[0-9;]*m)|[{_ALWAYS_HARMFUL}]")
_JOINERS: Final = ("\u200c", "\u200d")


def harmless(text: str, *, lines: bool = False) -> str:
    """Return peer text as it may reach a terminal: escapes, bidi controls and floods shown, not obeyed.

    With `lines`, line feeds stay (a message may have several lines) and a tab becomes a space.
    Text with right-to-left letters is isolated, so that it cannot reorder what stands around it.
    """
    if lines:
        text = text.replace("\r\n", "\n").replace("\t", " ")
        return "\n".join(harmless(line) for line in text.split("\n"))
    if text.isascii() and text.isprintable():
        return text
    shown = _limit_marks(_escape_stray_joiners(_HARMFUL.sub(_escape, text)))
    return f"{FSI}{shown}{PDI}" if _has_rtl(shown) else shown


def only_ours(line: str) -> str:
    """Return a finished line without any control character but what this program writes itself.

    The last door before a terminal: our colours and isolates pass. It is no substitute for `harmless`, which
    alone can tell a peer's colour from ours.
    """
    return _NOT_OURS.sub(lambda found: found[0] if found[0] in _OURS or found[1] else _escape(found), line)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escape_stray_joiners(text: str) -> str:
    """Keep a zero-width joiner between two visible characters (emoji, Indic, Persian); show any other."""
    if not any(joiner in text for joiner in _JOINERS):
        return text
    shown = []
    for at, char in enumerate(text):
        inner = 0 < at < len(text) - 1 and _joins(text[at - 1]) and _joins(text[at + 1])
        shown.append(char if char not in _JOINERS or inner else f"\\u{ord(char):04x}")
    return "".join(shown)


def _joins(char: str) -> bool:
    return char not in _JOINERS and not char.isascii() and unicodedata.category(char)[0] in "LMS"


def _limit_marks(text: str) -> str:
    """Drop combining marks after the first MAX_MARKS on one character, and say so by one `…`."""
    shown, run = [], 0
    for char in text:
        run = run + 1 if unicodedata.category(char)[0] == "M" else 0
        if run <= MAX_MARKS:
            shown.append(char)
        elif run == MAX_MARKS + 1:
            shown.append("…")
    return "".join(shown)


def _has_rtl(text: str) -> bool:
    return any(unicodedata.bidirectional(char) in ("R", "AL", "AN") for char in text)


def width(text: str) -> int:
    """Return how many cells `text` takes on a terminal."""
    return sum(_cells(char) for char in text)


def _cells(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def as_json(value: object) -> str:
    """Return `value` as one line of JSON; what would be harmful on a terminal is written as its number."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return _HARMFUL.sub(_json_escape, text)


def _json_escape(match: re.Match[str]) -> str:
    raw = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{raw[i : i + 2].hex()}" for i in range(0, len(raw), 2))


def table(
    heads: Sequence[str], rows: Iterable[Sequence[object]], bold: Callable[[str], str] = str
) -> list[str]:
    """Return the lines of a table; cells are made harmless here, `bold` dresses the heads."""
    cells = [[harmless("" if cell is None else str(cell)) for cell in row] for row in rows]
    wide = [max(width(text) for text in column) for column in zip(heads, *cells, strict=True)]
    lines = [bold(_row(heads, wide))]
    lines += [_row(row, wide) for row in cells]
    return lines


def _row(cells: Sequence[str], wide: Sequence[int]) -> str:
    padded = (text + " " * (size - width(text)) for text, size in zip(cells, wide, strict=True))
    return GAP.join(padded).rstrip()


def fields(pairs: Iterable[tuple[str, object]]) -> list[str]:
    """Return `name  value` lines with the values in one column; a value of None is left out."""
    kept = [(name, harmless(str(value))) for name, value in pairs if value is not None]
    wide = max((width(name) for name, _ in kept), default=0)
    return [f"{name}{' ' * (wide - width(name))}{GAP}{value}" for name, value in kept]


def clock(unix_s: float, zone: tzinfo | None = None) -> str:
    """Return a UNIX time as local `YYYY-MM-DD HH:MM`; what no calendar holds is shown as the number."""
    try:
        return datetime.fromtimestamp(unix_s, zone).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, OSError, ValueError):
        return str(unix_s)


def span(seconds: float) -> str:
    """Return a duration by its two largest units: `3d 4h`, `2m 5s`, `0s`."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")):
        if left >= size or (unit == "s" and not parts):
            parts.append(f"{left // size}{unit}")
            left %= size
    return " ".join(parts[:2])


def size(count: int) -> str:
    """Return a number of bytes in the unit a person would use, powers of 1024."""
    value, units = float(count), ("B", "KiB", "MiB", "GiB", "TiB")
    for unit in units[:-1]:
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {units[-1]}"


def heading(text: str) -> str:
    """Return `text` as a table's head on a terminal that takes colour."""
    return click.style(text, bold=True)
