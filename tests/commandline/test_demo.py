from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_demo_shows_three_nodes_chatting_and_removes_its_files(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "demo"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=Path(__file__).parents[2],
        env={"TMPDIR": str(tmp_path), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    for seen in (
        "bob sees  user_invite",
        "bob sees  notification: alice invites you to first light",
        "alice sees  user_message: bob  Hello, alice!",
        "echo: Hello, bob!",
    ):
        assert seen in done.stdout
    assert "\x1b" not in done.stdout
    assert list(tmp_path.glob("gossamer-demo-*")) == []
