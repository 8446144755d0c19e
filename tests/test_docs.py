"""The docs say what the code does: codes, commands, events, settings, links, and every command shown."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli import gossamer
from node import config
from node.chat import commands, events
from node.engine.batch import NOT_INSIDE

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
MODULES = sorted([ROOT / "cli.py", *(ROOT / "node").rglob("*.py")])
GLOBAL_OPTIONS = {"--home", "--json", "--quiet", "--no-color", "--help"}


def page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def error_codes() -> Iterator[tuple[str, str]]:
    """Every error code in the code, as (pattern, where): an f-string's holes match anything."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            for value in code_values(node):
                if (pattern := as_pattern(value)) is not None:
                    yield pattern, f"{path.relative_to(ROOT)}:{value.lineno}"


def code_values(node: ast.AST) -> Iterator[ast.expr]:
    match node:
        case ast.Call(func=ast.Name(id="Refused") | ast.Attribute(attr="Refused"), args=[first, *_]):
            yield first
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), keywords=keywords) if name[
            :1
        ].isupper():
            yield from (word.value for word in keywords if word.arg == "code")
        case ast.Assign(targets=[ast.Name(id="code")], value=value):
            yield value
        case _:
            pass


def as_pattern(value: ast.expr) -> str | None:
    match value:
        case ast.Constant(value=str(code)):
            return re.escape(code)
        case ast.JoinedStr(values=parts):
            literal = (p.value if isinstance(p, ast.Constant) else None for p in parts)
            return "".join("[a-z_]+" if text is None else re.escape(str(text)) for text in literal)
        case _:
            return None


def leaves(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its words."""
    with click.Context(group) as ctx:
        for name in group.list_commands(ctx):
            found = group.get_command(ctx, name)
            assert found is not None, name
            if isinstance(found, click.Group):
                yield from leaves(found, *path, name)
            else:
                yield " ".join((*path, name)), found


LEAVES = dict(leaves(gossamer))


def option_names(command: click.Command) -> set[str]:
    with click.Context(command) as ctx:
        params = command.get_params(ctx)
    return {name for param in params for name in param.opts if name.startswith("--")}


def test_every_error_code_is_explained() -> None:
    explained = set(re.findall(r"`([a-z_]+)`", page("errors.md")))
    missing = {
        where: code
        for code, where in error_codes()
        if not any(re.fullmatch(code, known) for known in explained)
    }
    assert missing == {}


def test_every_command_and_event_is_described() -> None:
    described = set(re.findall(r"`([a-z_]+)[`{]", page("bridge.md")))
    assert set(commands.BY_NAME) | set(events.BY_NAME) <= described


def test_what_may_not_be_in_a_batch_is_listed() -> None:
    section = page("bridge.md").partition("### Batches")[2].partition("\n##")[0]
    assert [name for name in sorted(NOT_INSIDE) if f"`{name}`" not in section] == []


def test_every_setting_is_described_with_its_variable() -> None:
    text = page("operations.md")
    assert [key for key in config.KEYS if f"`{key}`" not in text] == []
    assert [key for key in config.KEYS if f"`{config.ENV_PREFIX}{key.upper()}`" not in text] == []


@pytest.mark.parametrize("words", LEAVES)
def test_every_command_of_the_command_line_is_described_with_its_options(words: str) -> None:
    lines = [line for line in page("operations.md").splitlines() if f"`gossamer {words}" in line]
    assert lines
    named = set(re.findall(r"--[a-z-]+", " ".join(lines)))
    assert option_names(LEAVES[words]) - GLOBAL_OPTIONS <= named


def code_blocks(text: str) -> Iterator[str]:
    """The lines of fenced blocks that a shell would run."""
    for language, body in re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S):
        if language in ("", "sh", "bash", "console"):
            yield from body.splitlines()


def shown_commands(path: Path) -> Iterator[list[str]]:
    """Every `gossamer ...` and `make ...` that a page shows in a block, as words."""
    for line in code_blocks(path.read_text("utf-8")):
        for part in re.split(r"\s(?:\||&&|;)\s", line.removeprefix("$ ").strip()):
            words = shlex.split(part, comments=True)
            if words[:1] in (["gossamer"], [".venv/bin/gossamer"], ["make"]):
                yield words


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_shown_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    for program, *words in shown_commands(path):
        if program == "make":
            assert {word for word in words if "=" not in word} <= targets, words
            continue
        plain = [word for word in words if not word.startswith("-") or word == "-"]
        while plain and plain[0] not in {leaf.split()[0] for leaf in LEAVES}:
            plain.pop(0)  # the value of a global option
        found = next((leaf for leaf in (" ".join(plain[:2]), " ".join(plain[:1])) if leaf in LEAVES), None)
        assert found or words[:1] == ["--help"], words
        if found:
            used = {word.split("=")[0] for word in words if word.startswith("--")}
            assert used <= option_names(LEAVES[found]), words


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    heads = re.findall(r"^#+ +(.+?) *$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_inside_the_repository_resolves(path: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists() or (anchor and anchor not in anchors(there.read_text("utf-8"))):
            broken.append(target)
    assert broken == []


def test_every_page_is_reached_from_the_index() -> None:
    listed = set(re.findall(r"\]\(([\w/-]+\.md)\)", page("index.md")))
    assert {str(p.relative_to(DOCS)) for p in DOCS.rglob("*.md")} - {"index.md"} <= listed


def test_no_page_names_a_path_of_one_machine() -> None:
    for path in PAGES:
        assert not re.search(r"(?<![\w.])/(work|root|home/\w+)/", path.read_text("utf-8")), path
