"""Each attack on the mesh that docs/protocol.md lists has a test that names it, and its row leads there."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SECTION = (ROOT / "docs" / "protocol.md").read_text("utf-8").split("\n## 11. Attacks")[1]
ROWS = dict(re.findall(r"^\| ([NM]\d\d?) \| (.*) \|$", SECTION, re.MULTILINE))
ATTACKS = [f"N{number:02}" for number in range(1, 23)]
INVARIANTS = [f"M{number}" for number in range(1, 11)]
LINK = re.compile(r"\]\(\.\./(tests/\S+?\.py)\)")
NOT_ALWAYS = ("skip", "xfail", "gate", "hours")


def functions_of(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text("utf-8"))
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [function for function in functions if function.name.startswith("test_")]


def marks_of_module(path: Path) -> list[str]:
    """Return what `pytestmark` gives all tests of a module."""
    body = ast.parse(path.read_text("utf-8")).body
    return [
        ast.unparse(n.value) for n in body if isinstance(n, ast.Assign) and "pytestmark" in ast.unparse(n)
    ]


def modules_by_attack() -> dict[str, set[str]]:
    """Return the modules with a test of each attack that always runs: not skipped, nor for the gate alone."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in (ROOT / "tests").rglob("test_*.py"):
        if "pytest.mark.mesh_attack(" not in path.read_text("utf-8"):
            continue
        of_all = " ".join(marks_of_module(path))
        for function in functions_of(path):
            marks = " ".join([of_all, *map(ast.unparse, function.decorator_list)])
            if not any(word in marks for word in NOT_ALWAYS):
                for attack in re.findall(r"pytest\.mark\.mesh_attack\('(.*?)'\)", marks):
                    found[attack].add(path.relative_to(ROOT).as_posix())
    return found


FOUND = modules_by_attack()


def test_no_module_with_a_test_of_an_attack_is_ever_skipped() -> None:
    for module in set[str]().union(*FOUND.values()):
        source = (ROOT / module).read_text("utf-8")
        assert not re.search(r"^pytestmark\b.*(skip|xfail|gate|hours)", source, re.MULTILINE), module
        assert "importorskip" not in source, module


def test_the_tables_list_every_attack_and_invariant_and_tests_name_no_other() -> None:
    assert list(ROWS) == ATTACKS + INVARIANTS
    assert FOUND.keys() <= set(ATTACKS)


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_row_of_an_attack_leads_to_its_tests(attack: str) -> None:
    links = set(LINK.findall(ROWS[attack]))
    assert links, f"{attack} has no test"
    assert links <= FOUND[attack], f"{attack}: no test there names it"


@pytest.mark.parametrize("invariant", INVARIANTS)
def test_the_row_of_an_invariant_names_tests_that_there_are(invariant: str) -> None:
    named = re.findall(r"\]\(\.\./(tests/\S+?\.py)\) `(test_\w+)`", ROWS[invariant])
    assert named, f"{invariant} has no test"
    for module, name in named:
        assert name in {function.name for function in functions_of(ROOT / module)}, f"{module}: {name}"
