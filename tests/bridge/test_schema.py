"""The schema is the code's: nothing is missing, nothing is stale, and every example of the docs fits it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from node.bridge import guard
from node.bridge.schema import CONTENT_TYPES, FILES, FORMATS, placed, render
from node.chat import answers, commands, events
from tests.bridge.fake_engine import ADMIN, Bridge

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads(render("json-schema"))
LINES = re.findall(r"^([><]) (\{.*\})$", (ROOT / "docs" / "bridge.md").read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_in_the_repository_is_what_the_code_says_now(form: str) -> None:
    there = (ROOT / FILES[form]).read_text("utf-8")
    assert there == placed(form, there), "run: make schema"


def test_every_command_has_a_schema_a_scope_and_an_answer() -> None:
    assert answers.BY_COMMAND.keys() == commands.BY_NAME.keys() - {"hello"}
    assert SCHEMA["x-commands"].keys() == commands.BY_NAME.keys()
    for name, part in SCHEMA["x-commands"].items():
        assert part["scope"] == guard.SCOPES[name]
        for which in ("command", "answer"):
            assert followed(part[which])["type"] == "object"
        assert followed(part["command"])["properties"]["event"] == {"enum": [name]}
    assert SCHEMA["x-events"].keys() == events.BY_NAME.keys()


def followed(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (item for key, item in value.items() if key == "$ref")
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from references(item)


def test_patterns_are_those_that_every_language_has() -> None:
    found = re.findall(r'"pattern":"((?:[^"\\\\]|\\\\.)*)"', render("json-schema"))
    assert found and not any(mark in one for one in found for mark in ("\\Z", "\\A", "(?", "++", "*+"))


@pytest.mark.parametrize("form", ["json-schema", "asyncapi"])
def test_every_reference_leads_somewhere(form: str) -> None:
    document = json.loads(render(form))
    found = set(references(document))
    assert len(found) > 50
    for reference in found:
        at = document
        for step in reference.removeprefix("#/").split("/"):
            at = at[step]


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """As much of JSON Schema as ours uses."""
    if "$ref" in schema:
        return fits(value, followed(schema))
    if "anyOf" in schema:
        return any(fits(value, one) for one in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    match schema.get("type"):
        case "object":
            shown = schema.get("properties", {})
            there = isinstance(value, dict) and set(schema.get("required", ())) <= value.keys()
            return there and all(fits(item, shown.get(key, {})) for key, item in value.items())
        case "array":
            return isinstance(value, list) and all(fits(item, schema.get("items", {})) for item in value)
        case "string":
            most = schema.get("maxLength", 10**9)
            return isinstance(value, str) and schema.get("minLength", 0) <= len(value) <= most
        case "integer":
            inside = isinstance(value, int) and not isinstance(value, bool)
            return inside and schema.get("minimum", value) <= value <= schema.get("maximum", value)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case _:
            return True


def test_every_example_of_the_docs_fits_its_schema_and_every_ok_its_commands_answer() -> None:
    asked = ""
    for mark, text in LINES:
        frame = json.loads(re.sub(r",\}$", "}", text))  # the one comma that is forgiven
        if mark == ">":
            asked = frame["event"]
            assert fits(frame, SCHEMA["x-commands"][asked]["command"]), text
        elif frame["event"] == "ok":
            assert fits(frame, SCHEMA["x-commands"][asked]["answer"]), text
        else:
            assert fits(frame, SCHEMA["x-events"][frame["event"]]["event"]), text
    assert not fits({"event": "room_read"}, SCHEMA["x-commands"]["room_read"]["command"])
    assert not fits({"event": "ok", "id": 5, "ts_ms": 1}, SCHEMA["x-commands"]["user_message"]["answer"])


def test_the_types_have_every_frame_and_no_unknown_name() -> None:
    text = render("typescript")
    made = set(re.findall(r"^export (?:interface|type) (\w+)", text, re.MULTILINE))
    assert set(SCHEMA["$defs"]) - {"Command", "Event"} <= made
    code = re.sub(r"/\*\*.*?\*/|//.*", "", text)
    used = set(re.findall(r"\b[A-Z]\w+", re.sub(r'"[^"]*"', "", code)))
    assert used - made == {"Record"}
    rows = re.findall(r"^  (\w+): \{ command: \w+; answer: \w+; scope: \"\w+\" \};", text, re.MULTILINE)
    assert rows == list(commands.BY_NAME)


def test_the_page_has_a_section_for_every_command_event_and_part() -> None:
    heads = re.findall(r"^### (.*)$", render("markdown"), re.MULTILINE)
    assert len(heads) == len(set(heads))
    wanted = {*commands.BY_NAME, *(f"{name} (event)" for name in events.BY_NAME)}
    assert wanted <= set(heads)


async def test_a_node_serves_it_to_who_has_a_credential(bridge: Bridge) -> None:
    bearer = {"Authorization": f"Bearer {ADMIN}"}
    async with aiohttp.ClientSession() as http:
        async with http.get(bridge.http("/api/v1/schema")) as answer:
            assert answer.status == 401
        async with http.get(bridge.http("/api/v1/schema"), headers=bearer) as answer:
            assert await answer.text() == render("json-schema")
        for form in FORMATS:
            async with http.get(bridge.http(f"/api/v1/schema?format={form}"), headers=bearer) as answer:
                assert (answer.status, answer.content_type) == (200, CONTENT_TYPES[form])
                assert await answer.text() == render(form)
        async with http.get(bridge.http("/api/v1/schema?format=xml"), headers=bearer) as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (400, "bad_request")
