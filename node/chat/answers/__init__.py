"""What `ok` carries beside `req`: one struct an answer, and which command is answered by which.

Answers are made as plain objects where the command is done; these structs are their contract. Schema, types
and the reference are made from them, and every `ok` of a transcript is held against them. Whoever adds a
command adds its answer to the module of its subject, and a line to that module's `ANSWERS`.
"""

from __future__ import annotations

from typing import Final

from node.chat.answers import attachments, invites, log, messages, notices, owner, people, reading, rooms
from node.chat.answers.base import Answer as Answer

_SUBJECTS = (log, rooms, messages, reading, attachments, invites, people, notices, owner)
BY_COMMAND: Final[dict[str, type[Answer]]] = {
    command: answer for subject in _SUBJECTS for command, answer in subject.ANSWERS.items()
}
"""What the `ok` to a command carries; `hello` is answered by the event of that name."""
