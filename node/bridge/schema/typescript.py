"""The vocabulary as TypeScript types: an interface a struct, and maps from names to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from node.bridge.schema.parts import PROTOCOL, Schema, Vocabulary

_PLAIN: Final = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}
_HEAD: Final = f"""// Types of the native bridge, {PROTOCOL}. Written by `make schema`; do not edit.
//
//   const ws = new WebSocket("ws://127.0.0.1:7117/?token=" + token);
//   const ask = <C extends keyof Commands>(name: C, keys: Omit<Commands[C]["command"], "event">) =>
//     ws.send(JSON.stringify({{ event: name, ...keys }}));
//   ws.onmessage = ({{ data }}) => {{ const event: GossamerEvent = JSON.parse(data); }};
"""


def document(words: Vocabulary) -> str:
    """Return the content of a `.d.ts` file."""
    parts = [_HEAD, *(_interface(name, schema) for name, schema in words.defs.items())]
    rows = (
        f"  {part.name}: {{ command: {part.schema}; answer: {part.answer}; scope: {_text(part.scope)} }};"
        for part in words.commands
    )
    parts.append("\n".join(["/** Every command: what is sent, what its ok carries. */",
                            "export interface Commands {", *rows, "}\n"]))  # fmt: skip
    parts.append(_union("GossamerCommand", "What a frontend sends.", [p.schema for p in words.commands]))
    parts.append(_union("GossamerEvent", "What the node sends.", [p.schema for p in words.events]))
    return "\n".join(parts)


def _union(name: str, text: str, members: list[str]) -> str:
    return f"/** {text} */\nexport type {name} =\n" + "\n".join(f"  | {one}" for one in members) + ";\n"


def _interface(name: str, schema: Schema) -> str:
    lines = [f"/** {schema['description']} */"] if "description" in schema else []
    return "\n".join([*lines, f"export interface {name} {{", *_keys(schema), "}\n"])


def _keys(schema: Schema) -> Iterator[str]:
    required = set(schema.get("required", ()))
    for key, value in schema.get("properties", {}).items():
        yield f"  {key}{'' if key in required else '?'}: {type_of(value)};"
    if schema.get("additionalProperties") is True:
        yield "  [key: string]: unknown;"


def type_of(schema: Schema) -> str:
    """Return the type of a value."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return _text(schema["const"])
    if "enum" in schema:
        return " | ".join(_text(one) for one in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(type_of(one) for one in schema["anyOf"]))
    match schema.get("type"):
        case "array":
            inner = type_of(schema.get("items", {}))
            return f"({inner})[]" if " " in inner else f"{inner}[]"
        case "object":
            return "Record<string, unknown>"
        case str() as plain:
            return _PLAIN[plain]
        case _:
            return "unknown"


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
