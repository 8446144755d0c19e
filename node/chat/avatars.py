"""What stands for a picture of somebody: a small image, an attachment's id, or some letters (docs/bridge.md).

Whatever a frontend might fetch from somewhere else tells that place who looks and when. So an address goes
back to the session that gave it, never to others as a picture, and what others send as one is not shown.
"""

from __future__ import annotations

import binascii
import re
import unicodedata
from base64 import b64decode
from typing import Final

from node.errors import Refused

MAX_LETTERS = 256
"""An emoji of several people takes eleven; an id 36."""
MAX_LISTED_BYTES = 256
"""What the directory takes."""
_DATA: Final = re.compile(r"data:image/(png|jpeg|gif|webp);base64,([A-Za-z0-9+/]+={0,2})")
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|[/\\]")
_BEGINS: Final = {
    "png": (b"\x89PNG\r\n\x1a\n",),
    "jpeg": (b"\xff\xd8\xff",),
    "gif": (b"GIF87a", b"GIF89a"),
    "webp": (b"RIFF",),
}
"""How the files begin: what says to be an image and is a page is none."""


def is_remote(avatar: str) -> bool:
    """Say whether it is an address, of any scheme but `data:`; `javascript:` is one too."""
    return _ADDRESS.match(avatar) is not None and avatar[:5].lower() != "data:"


def problem(avatar: str) -> str | None:
    """Return what is wrong with an avatar that is no address; None if nothing is."""
    if avatar[:5].lower() == "data:":
        found = _DATA.fullmatch(avatar)
        return (
            None if found and _is_image(*found.groups()) else "a data URL of a PNG, JPEG, GIF or WebP image"
        )
    plain = all(unicodedata.category(letter) not in {"Cc", "Zl", "Zp", "Cs"} for letter in avatar)
    if len(avatar) > MAX_LETTERS or not plain or avatar != avatar.strip():
        return f"a data URL, the id of an attachment, or at most {MAX_LETTERS} letters"
    return None


def _is_image(kind: str, text: str) -> bool:
    try:
        raw = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return raw.startswith(_BEGINS[kind]) and (kind != "webp" or raw[8:12] == b"WEBP")


def check(avatar: str) -> None:
    """Refuse what could be no avatar. Refused: `invalid`."""
    wrong = problem(avatar)
    if wrong is not None:
        raise Refused("invalid", f"an avatar is {wrong}", field="avatar")


def of_peer(avatar: str | None) -> str | None:
    """Return what to show of what somebody else sent: nothing that leads elsewhere, nothing odd."""
    if not avatar or is_remote(avatar) or problem(avatar) is not None:
        return None
    return avatar


def as_letters(avatar: str | None) -> str | None:
    """Return an avatar for the directory, where everybody keeps everybody's: no pictures."""
    if avatar is None or avatar[:5].lower() == "data:" or len(avatar.encode()) > MAX_LISTED_BYTES:
        return None
    return avatar
