"""The vocabulary as an AsyncAPI 3 document: one channel, an operation a command with reply, the events."""

from __future__ import annotations

from typing import Any

from node.bridge.schema.parts import PROTOCOL, REF, CommandPart, Schema, Vocabulary

_SCHEMAS = "#/components/schemas/"
_MESSAGES = "#/components/messages/"
_CHANNEL = "#/channels/native"


def document(words: Vocabulary) -> Schema:
    """Return the document; actions are the node's: it receives commands and sends events."""
    messages = {part.schema: _message(part.name, part.schema) for part in words.commands}
    messages |= {part.schema: _message(part.name, part.schema) for part in words.events}
    for part in words.commands:
        messages.setdefault(_reply(part), _answer(part))
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "The native bridge of a Gossamer node",
            "version": PROTOCOL.partition("/")[2],
            "description": "One JSON object a frame; msgpack on the subprotocol gossamer.v1.msgpack.",
        },
        "defaultContentType": "application/json",
        "servers": {"local": _server()},
        "channels": {
            "native": {
                "address": "/",
                "servers": [{"$ref": "#/servers/local"}],
                "messages": {name: {"$ref": _MESSAGES + name} for name in messages},
            }
        },
        "operations": {
            **{part.name: _asked(part) for part in words.commands},
            "events": {
                "action": "send",
                "channel": {"$ref": _CHANNEL},
                "messages": [_on_channel(part.schema) for part in words.events],
            },
        },
        "components": {
            "messages": messages,
            "schemas": _moved(words.defs),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _server() -> Schema:
    security = [{"$ref": "#/components/securitySchemes/token"}]
    return {"host": "127.0.0.1:7117", "protocol": "ws", "security": security}


def _message(name: str, schema: str) -> Schema:
    return {"name": name, "payload": {"$ref": _SCHEMAS + schema}}


def _reply(part: CommandPart) -> str:
    return part.answer if part.answer.endswith("Event") else f"Ok{part.answer}"


def _answer(part: CommandPart) -> Schema:
    both = [{"$ref": f"{_SCHEMAS}OkEvent"}, {"$ref": _SCHEMAS + part.answer}]
    return {"name": "ok", "payload": {"allOf": both}}


def _asked(part: CommandPart) -> Schema:
    return {
        "action": "receive",
        "channel": {"$ref": _CHANNEL},
        "summary": f"Scope {part.scope}.",
        "messages": [_on_channel(part.schema)],
        "reply": {
            "channel": {"$ref": _CHANNEL},
            "messages": [_on_channel(_reply(part)), _on_channel("ErrorEvent")],
        },
    }


def _on_channel(name: str) -> Schema:
    return {"$ref": f"{_CHANNEL}/messages/{name}"}


def _moved(value: Any) -> Any:
    """Return schemas with their references to where AsyncAPI keeps them."""
    if isinstance(value, dict):
        return {
            key: item.replace(REF, _SCHEMAS) if key == "$ref" and isinstance(item, str) else _moved(item)
            for key, item in value.items()
        }
    return [_moved(item) for item in value] if isinstance(value, list) else value
