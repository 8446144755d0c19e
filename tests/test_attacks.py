"""Each attack that docs/crypto.md lists has a test that names it, and its row leads there."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "crypto.md").read_text("utf-8")
ROWS = dict(re.findall(r"^\| (A\d\d) \| (.*) \|$", PAGE, re.MULTILINE))
ATTACKS = [f"A{number:02}" for number in range(1, 39)]


def _marks(node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[set[str], set[str]]:
    """Return the attacks that a test names, and its other marks."""
    attacks, others = set(), set()
    for mark in node.decorator_list:
        text = ast.unparse(mark)
        if text.startswith("pytest.mark.attack("):
            (attack,) = re.findall(r"'(.*?)'", text)
            attacks.add(attack)
        else:
            others.add(text)
    return attacks, others


def modules_by_attack() -> dict[str, set[str]]:
    """Return the modules with a test of each attack that always runs: not skipped, nor for the gate alone."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in (ROOT / "tests").rglob("test_*.py"):
        source = path.read_text("utf-8")
        if "pytest.mark.attack(" not in source:
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                attacks, others = _marks(node)
                if not any("skip" in other or "gate" in other for other in others):
                    for attack in attacks:
                        found[attack].add(path.relative_to(ROOT).as_posix())
    return found


FOUND = modules_by_attack()


def test_no_test_of_an_attack_is_ever_skipped() -> None:
    for module in set[str]().union(*FOUND.values()):
        source = (ROOT / module).read_text("utf-8")
        assert not re.search(r"pytest\.(mark\.)?(skip|xfail|importorskip)", source), module


def test_the_table_lists_every_attack_and_tests_name_no_other() -> None:
    assert list(ROWS) == ATTACKS
    assert FOUND.keys() <= set(ATTACKS)


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_row_of_an_attack_leads_to_its_tests(attack: str) -> None:
    links = set(re.findall(r"\]\(\.\./(tests/\S+?\.py)\)", ROWS[attack]))
    assert links, f"{attack} has no test"
    assert links <= FOUND[attack], f"{attack}: no test there names it"
