"""A file's name as a peer gave it, made into one that is safe to write here, whatever the system.

A name is data until this point. What comes out is a single component: no way out of the folder, no stream of
another file, no device, nothing hidden, nothing that a program takes for an option, nothing that shows as
something else (docs/threat-model.md, "Names of files").
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from node.commandline.output import harmless

MAX_BYTES = 200
"""Of UTF-8: below the 255 of common file systems, with room for a suffix of ours."""
MAX_SUFFIX = 16
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|clock\$|(com|lpt)[0-9¹²³])", re.IGNORECASE)
_BAD: Final = re.compile(r'[<>:"|?*\x00-\x1f\x7f]')


def safe_name(name: str, ident: str) -> str:
    """Return a name for a file; `ident` is the attachment's id, for a name of which nothing is left."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    plain = "".join(char if _shows(char) else "_" for char in _BAD.sub("_", last))
    plain = plain.strip().rstrip(". ")
    if plain[:1] in {".", "-", "~", "$", "%", "#", "@"}:
        plain = "_" + plain[1:]
    if _RESERVED.fullmatch(plain.split(".")[0].rstrip()):
        plain = "_" + plain
    plain = _shortened(plain)
    return plain if plain.strip("_. ") else f"attachment-{ident[:8]}"


def _shows(char: str) -> bool:
    """Say whether a character shows as itself, wherever it stands."""
    if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}:
        return False
    return char == " " or (not char.isspace() and harmless(f"a{char}").strip("\u2068\u2069") == f"a{char}")


def _shortened(name: str) -> str:
    if len(name.encode()) <= MAX_BYTES:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix.encode()) > MAX_SUFFIX:
        stem, dot, suffix = name, "", ""
    room = MAX_BYTES - len((dot + suffix).encode())
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip(". ") + dot + suffix
