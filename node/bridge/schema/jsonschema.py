"""The vocabulary as one JSON Schema document (draft 2020-12)."""

from __future__ import annotations

from node.bridge.schema.parts import PROTOCOL, REF, Schema, Vocabulary


def document(words: Vocabulary) -> Schema:
    """Return a schema that every frame of the bridge fits, and under `x-commands` what answers what."""
    sent = [{"$ref": REF + part.schema} for part in words.commands]
    told = [{"$ref": REF + part.schema} for part in words.events]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Frames of the native bridge, {PROTOCOL}",
        "anyOf": [{"$ref": f"{REF}Command"}, {"$ref": f"{REF}Event"}],
        "x-commands": {
            part.name: {
                "scope": part.scope,
                "command": {"$ref": REF + part.schema},
                "answer": {"$ref": REF + part.answer},
            }
            for part in words.commands
        },
        "x-events": {
            part.name: {"logged": part.logged, "event": {"$ref": REF + part.schema}} for part in words.events
        },
        "$defs": {
            "Command": {"description": "What a frontend sends.", "anyOf": sent},
            "Event": {"description": "What the node sends.", "anyOf": told},
            **words.defs,
        },
    }
