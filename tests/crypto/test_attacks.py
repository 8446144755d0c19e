"""The attacks that tests name are those of docs/crypto.md section 2."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent.parent


def test_every_attack_that_a_test_names_has_its_row() -> None:
    page = (TESTS.parent / "docs" / "crypto.md").read_text("utf-8")
    rows = re.findall(r"^\| (A\d\d) \|", page, re.M)
    named = {
        attack
        for path in TESTS.rglob("test_*.py")
        for attack in re.findall(r"mark\.attack\(\"(\w+)\"\)", path.read_text("utf-8"))
    }
    assert len(rows) == len(set(rows)) == 38
    assert named and named <= set(rows)
