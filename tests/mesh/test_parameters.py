"""Every limit and timer of the mesh stands in docs/protocol.md with the value that the code has."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import node.mesh

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text("utf-8")
ROW = re.compile(r"^\| `([a-z_]+)\.([A-Z0-9_]+)` \| (\S+) \| (.+?) \| (.+?) \|$", re.MULTILINE)
ROWS = {(module, name): (value, unit, why) for module, name, value, unit, why in ROW.findall(PAGE)}
PLACES = ("node.mesh", "node.wire", "node.engine", "node.crypto", "node")
OURS_ALONE = {
    "days.BLOCK": "how a day's ids lie in memory",
    "index.ID_BYTES": "frames.ID_BYTES",
    "index.SPARE": "how the index is swept",
    "lan.ASK_SECONDS": "multicast DNS, which is not this protocol",
    "lan.LOOK_AGAIN": "multicast DNS, which is not this protocol",
    "lan.STOP_SECONDS": "multicast DNS, which is not this protocol",
    "line.REPORT_BYTES": "when the engine is told of what was written",
    "line.REPORT_SECONDS": "when the engine is told of what was written",
    "parts.PARTS_AT_ONCE": "the order of two queues of ours",
    "sync.EVERYTHING": "stands for no limit",
    "transport.BACKLOG_PAUSE": "how often the shell looks",
    "transport.STRAIGHT_BACKLOG": "by which way what came goes to the engine",
    "transport.STOP_TIMEOUT": "how long a node takes to stop",
    "troubles.MAX_TEXT": "what the owner is shown",
    "troubles.MAX_TROUBLES": "what the owner is shown",
}
"""Numbers that no other node can notice, each with what it is for."""


def module_of(name: str) -> ModuleType:
    for place in PLACES:
        try:
            return importlib.import_module(f"{place}.{name}")
        except ModuleNotFoundError as missing:
            if missing.name != f"{place}.{name}":
                raise
    raise AssertionError(f"there is no module {name}")


def constants(module: ModuleType) -> Iterator[str]:
    """Yield the public numbers that a module defines itself, not those that it imports."""
    source = Path(str(module.__file__)).read_text("utf-8")
    for line in re.findall(r"^([A-Z][A-Z0-9_, ]*?)(?:: [^=\n]*)? = ", source, re.MULTILINE):
        for name in line.split(", "):
            value = getattr(module, name)
            if isinstance(value, int | float) and value >= 0:  # a negative one stands for none
                yield name


def read_number(text: str) -> float:
    plain = text.replace(",", "")
    if power := re.fullmatch(r"2\^(\d+)", plain):
        return 1 << int(power[1])
    return float(plain) if "." in plain else int(plain)


def defined() -> set[tuple[str, str]]:
    names = [f"node.mesh.{found.name}" for found in pkgutil.iter_modules(node.mesh.__path__)]
    return {
        (module.__name__.rpartition(".")[2], name)
        for module in map(importlib.import_module, [*names, "node.wire.frames", "node.wire.frame_bytes"])
        for name in constants(module)
    }


@pytest.mark.parametrize("row", ROWS, ids=".".join)
def test_a_parameter_of_the_page_is_that_of_the_code(row: tuple[str, str]) -> None:
    module, name = row
    value, unit, why = ROWS[row]
    assert read_number(value) == getattr(module_of(module), name)
    assert unit.strip() and why.strip()


def test_every_number_of_the_mesh_that_others_can_notice_is_on_the_page() -> None:
    missing = {f"{module}.{name}" for module, name in defined() - ROWS.keys()}
    assert missing - OURS_ALONE.keys() == set()
    assert OURS_ALONE.keys() <= missing, "on the page, or gone"


def test_each_section_has_one_table_of_parameters() -> None:
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    with_table = [text.splitlines()[0] for text in sections if ROW.search(text)]
    assert len(with_table) == 8
    assert PAGE.count("\n| parameter |") == len(with_table)
    assert len(ROW.findall(PAGE)) == len(ROWS), "a parameter stands twice"
