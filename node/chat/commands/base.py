"""What every command shares: `req`, `nonce`, and the types and sizes of the values that frontends give.

Decoding checks types and sizes here; what depends on the node's state is the engine's to judge.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

MAX_MESSAGE_BYTES = 16 * 1024
"""UTF-8 bytes of one message."""
MAX_NAME_CHARS = 64
MAX_OPTIONS_BYTES = 4 * 1024
MAX_LINK_CHARS = 16 * 1024
"""A contact link with eight addresses stays under 4 KiB; the rest is room to grow."""
MAX_HISTORY = 200
"""Messages one `history_get` can return: 200 of 16 KiB stay under a tenth of what a frontend may queue."""

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS)]
Who: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
"""A username, `name~xxxx` or user_id."""
Id: TypeAlias = Annotated[str, Meta(min_length=36, max_length=36)]
"""A UUID string."""
Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Topic: TypeAlias = Annotated[str, Meta(max_length=256)]
Kind: TypeAlias = Annotated[str, Meta(min_length=1, max_length=16)]
Text: TypeAlias = Annotated[str, Meta(max_length=MAX_MESSAGE_BYTES)]
Sought: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
"""What is searched for."""
Link: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_LINK_CHARS)]
Address: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255)]
Secret: TypeAlias = Annotated[str, Meta(max_length=128)]
Passphrase: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+\Z")]
"""One line, so that a prompt, a file and standard input can all give it."""
Limit: TypeAlias = Annotated[int, Meta(ge=1, le=MAX_HISTORY)]
Req: TypeAlias = Annotated[str, Meta(max_length=128)] | Annotated[int, Meta(ge=-(2**53), le=2**53)]
Nonce: TypeAlias = Annotated[str, Meta(min_length=1, max_length=128)]
Scope: TypeAlias = Literal["read", "chat", "owner"]


def snake(name: str) -> str:
    """Return `RoomCreate` as `room_create`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Base(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event", tag=snake):
    """`req` comes back in the answer; the same `nonce` again does nothing twice, for seven days."""

    req: Req | None = None
    nonce: Nonce | None = None
