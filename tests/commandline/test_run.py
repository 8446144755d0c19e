from __future__ import annotations

import shlex
from pathlib import Path

from cli import gossamer
from node.commandline.run import greeting, opened
from node.config import Settings
from node.crypto.links import ContactLink, encode_contact

LINK = encode_contact(ContactLink(bytes(32), bytes(32), bytes(16), 20_000, ("ws://192.168.1.4:7118",)))


def test_the_greeting_gives_the_link_who_can_use_it_and_commands_that_exist() -> None:
    lines = greeting("gossamer --home '/a b'", "al\x1bice", Path("/a b"), LINK)
    assert f"  {LINK}" in lines
    assert any("only on this network" in line for line in lines)
    assert not any("\x1b" in line for line in lines)
    pasted = [shlex.split(line, comments=True) for line in lines if line.startswith("  gossamer --home")]
    assert len(pasted) == 5
    for program, home, path, command, *_ in pasted:
        assert (program, home, path) == ("gossamer", "--home", "/a b")
        assert command in gossamer.lazy


def test_the_first_run_says_in_two_lines_what_is_open_and_kept() -> None:
    lines = [line for line in opened(Settings(home=Path("/h"))) if line]
    assert len(lines) == 2
    assert "[::]:7118" in lines[0]
    assert "nothing" in opened(Settings(home=Path("/h"), listen=None))[1]
