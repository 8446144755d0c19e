"""The vocabulary as a page: a section a command and event, with the keys, their types and limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from node.bridge.schema.parts import PROTOCOL, Schema, Vocabulary
from node.chat.commands import snake

_HEAD: Final = f"""# Reference of the native bridge

Every command, its answer and every event of {PROTOCOL}, with the types and limits of their keys. This page
is written by `make schema` from the code and not edited; what the words mean, and an example each, is in
[bridge.md](bridge.md). The same as JSON Schema: [schema.json](schema.json); as AsyncAPI 3:
[asyncapi.json](asyncapi.json); as TypeScript: [gossamer.d.ts](../examples/gossamer.d.ts). A running node
serves them at `/api/v1/schema`.

Every command also takes `req` (a string of at most 128 characters or an integer) and `nonce` (1 to 128
characters). Keys marked `?` may be left out.
"""
_COMMON: Final = frozenset({"event", "req", "nonce"})


def document(words: Vocabulary) -> str:
    """Return the page."""
    lines = [_HEAD, "## Commands", ""]
    for part in words.commands:
        schema = words.defs[part.schema]
        lines += [f"### {part.name}", "", f"{schema['description']} Scope `{part.scope}`.", ""]
        lines += _table(schema, skip=_COMMON)
        if part.name == "hello":
            lines += ["The answer is the event [hello](#hello-event).", ""]
        else:
            lines += _answer(words, part.answer)
    lines += ["## Events", ""]
    for event in words.events:
        schema = words.defs[event.schema]
        kept = " In the event log." if event.logged else ""
        lines += [f"### {event.name} (event)", "", f"{schema['description']}{kept}", ""]
        lines += _table(schema, skip=frozenset({"event"}))
    return "\n".join([*lines, *_parts(words)]).rstrip() + "\n"


def _answer(words: Vocabulary, name: str) -> Iterator[str]:
    schema = words.defs[name]
    yield f"`ok`: {schema['description']}"
    yield ""
    yield from _table(schema, skip=_COMMON)


def _parts(words: Vocabulary) -> Iterator[str]:
    """Yield a section for what commands and answers are made of."""
    used = {name for part in words.commands for name in (part.schema, part.answer)}
    used |= {part.schema for part in words.events}
    yield from ("## Parts", "")
    for name, schema in words.defs.items():
        if name not in used:
            yield from (f"### {name}", "", schema["description"], "")
            yield from _table(schema, skip=frozenset())


def _table(schema: Schema, *, skip: frozenset[str]) -> Iterator[str]:
    required = set(schema.get("required", ()))
    rows = {key: value for key, value in schema.get("properties", {}).items() if key not in skip}
    if rows:
        yield from ("| key | type |", "|---|---|")
        for key, value in rows.items():
            yield f"| `{key}`{'' if key in required else '?'} | {words_of(value)} |"
        yield ""


def words_of(schema: Schema) -> str:
    """Say what a value may be."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return f"[{name}](#{_anchor(name)})"
    if "enum" in schema:
        return " or ".join(f"`{_shown(one)}`" for one in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(words_of(one) for one in schema["anyOf"]))
    match schema.get("type"):
        case "array":
            return f"list of {words_of(schema.get('items', {}))}{_limits(schema, 'Items')}"
        case "string":
            return f"string{_limits(schema, 'Length')}"
        case "integer":
            return f"integer{_range(schema)}"
        case str() as plain:
            return plain
        case _:
            return "anything"


def _anchor(name: str) -> str:
    """Return where a struct is described: an event inside an answer, or a part."""
    return f"{snake(name.removesuffix('Event'))}-event" if name.endswith("Event") else name.lower()


def _limits(schema: Schema, of: str) -> str:
    low, high = schema.get(f"min{of}"), schema.get(f"max{of}")
    if low is None and high is None:
        return ""
    if low == high:
        return f", {low}"
    return f", at most {high}" if not low else f", {low} to {high}"


def _range(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if high is None or high >= 2**53 - 1:
        return "" if low is None else f", {low} or more"
    return f", {low} to {high}"


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)
