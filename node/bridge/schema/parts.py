"""The vocabulary as schemas: every command, event and answer with what it refers to, each under one name.

A command and an event may have one name (`user_message` goes both ways), so that here the one is called
`UserMessageCommand`, the other `UserMessageEvent`; an answer keeps the name of its struct.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, TypeAlias

import msgspec

from node.bridge.guard import SCOPES
from node.chat import answers, commands, events

Schema: TypeAlias = dict[str, Any]
PROTOCOL: Final = "gossamer/1"
REF: Final = "#/$defs/"
_REQ: Final[Schema] = {
    "description": "That of the command.",
    "anyOf": [{"type": "string"}, {"type": "integer"}],
}
_OPEN: Final = {"ok": {"fields"}, "error": {"extra"}}
"""Keys of structs that are no keys of frames: what is in them stands beside the others."""


@dataclass(frozen=True)
class CommandPart:
    """One command: what may use it, the names of its schema and of its answer's."""

    name: str
    scope: str
    schema: str
    answer: str


@dataclass(frozen=True)
class EventPart:
    """One event: whether it is in the event log, the name of its schema."""

    name: str
    logged: bool
    schema: str


@dataclass(frozen=True)
class Vocabulary:
    """Everything that passes the native bridge, in the order of the code."""

    commands: tuple[CommandPart, ...]
    events: tuple[EventPart, ...]
    defs: dict[str, Schema] = field(repr=False)


@cache
def vocabulary() -> Vocabulary:
    """Return the vocabulary."""
    defs: dict[str, Schema] = {}
    for kind in events.BY_NAME.values():
        _add(defs, kind, "Event")
    _frames(defs)
    found = tuple(
        EventPart(name, name in events.LOGGED, f"{kind.__name__}Event")
        for name, kind in events.BY_NAME.items()
    )
    asked = tuple(_command(defs, name, kind) for name, kind in commands.BY_NAME.items())
    return Vocabulary(asked, found, defs)


def _command(defs: dict[str, Schema], name: str, kind: type[Any]) -> CommandPart:
    _add(defs, kind, "Command")
    answer = answers.BY_COMMAND.get(name)
    if answer is not None:
        _add(defs, answer, "")
    shown = "HelloEvent" if name == "hello" else "OkEvent" if answer is None else answer.__name__
    return CommandPart(name, SCOPES[name], f"{kind.__name__}Command", shown)


def _add(defs: dict[str, Schema], kind: type[Any], suffix: str) -> None:
    """Add a struct, and what it refers to, under the names that they have here."""
    _, found = msgspec.json.schema_components([kind], ref_template=REF + "{name}")
    renamed = {name: _renamed(name, kind, suffix) for name in found}
    for name, schema in found.items():
        defs.setdefault(
            renamed[name], _walked(schema, {REF + old: REF + new for old, new in renamed.items()})
        )


def _renamed(name: str, kind: type[Any], suffix: str) -> str:
    if name == kind.__name__:
        return name + suffix
    inner = events.BY_NAME.get(commands.snake(name))  # an event inside an answer
    return f"{name}Event" if not suffix and inner is not None else name


def _walked(value: Any, refs: dict[str, str]) -> Any:
    """Return a schema with its references renamed; unknown keys are ignored, so none is shut out."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if (key, item) != ("additionalProperties", False)}
        if isinstance(kept.get("$ref"), str):
            kept["$ref"] = refs.get(kept["$ref"], kept["$ref"])
        if isinstance(kept.get("pattern"), str):
            kept["pattern"] = kept["pattern"].replace(r"\Z", "$")  # as the schema's expressions have it
        if isinstance(kept.get("description"), str):
            kept["description"] = " ".join(kept["description"].split())
        return {key: _walked(item, refs) for key, item in kept.items()}
    return [_walked(item, refs) for item in value] if isinstance(value, list) else value


def _frames(defs: dict[str, Schema]) -> None:
    """Mend the two events that carry the keys of others, and `req`, which is left out where there is none."""
    for name, hidden in _OPEN.items():
        schema = defs[f"{name.capitalize()}Event"]
        for key in hidden:
            del schema["properties"][key]
        schema["additionalProperties"] = True
    for schema in defs.values():
        if "req" in schema.get("properties", {}):
            schema["properties"]["req"] = dict(_REQ)
