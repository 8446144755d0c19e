"""The contract for programs: JSON Schema, AsyncAPI, TypeScript and a reference, all made from the structs.

Nothing here is written by hand twice: a command, an event or an answer that is added to the vocabulary is in
all four, and `make schema` writes them out (docs/bridge.md section 5, "The schema").
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final

import msgspec

from node.bridge.schema import asyncapi, jsonschema, markdown, typescript
from node.bridge.schema.parts import vocabulary


@cache
def render(form: str) -> str:
    """Return the contract in one of FORMATS."""
    return _RENDERERS[form]()


def _json(value: object) -> str:
    return _laid_out(value, 3, "") + "\n"


def _laid_out(value: object, levels: int, margin: str) -> str:
    """Return JSON with a line for each thing that is named, so that a change of one is a change of a line."""
    if not levels or not isinstance(value, dict) or not value:
        return msgspec.json.encode(value).decode()
    inner = margin + " "
    rows = (f'{inner}"{key}": {_laid_out(item, levels - 1, inner)}' for key, item in value.items())
    return "{\n" + ",\n".join(rows) + "\n" + margin + "}"


_RENDERERS: Final[dict[str, Callable[[], str]]] = {
    "json-schema": lambda: _json(jsonschema.document(vocabulary())),
    "asyncapi": lambda: _json(asyncapi.document(vocabulary())),
    "typescript": lambda: typescript.document(vocabulary()),
    "markdown": lambda: markdown.document(vocabulary()),
}
FORMATS: Final = tuple(_RENDERERS)
"""What a schema can be asked for as; the first is meant where nothing is said."""
CONTENT_TYPES: Final = {
    "json-schema": "application/schema+json",
    "asyncapi": "application/json",
    "typescript": "text/plain",
    "markdown": "text/markdown",
}
FILES: Final = {
    "json-schema": "docs/schema.json",
    "asyncapi": "docs/asyncapi.json",
    "typescript": "examples/gossamer.ts",
    "markdown": "docs/reference.md",
}
"""Where `make schema` writes each, from the root of the repository; the types are a part of their file."""
_TYPES: Final = ("// <types> written by `make schema`; do not edit\n", "// </types>\n")


def placed(form: str, there: str) -> str:
    """Return what a file of FILES has to hold that holds `there` now."""
    if form != "typescript":
        return render(form)
    begin, end = _TYPES
    before, _, rest = there.partition(begin)
    return f"{before}{begin}{render(form)}{end}{rest.partition(end)[2]}"
