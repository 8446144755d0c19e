"""The native dialect, frame by frame: one file a command, and every event in at least one of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from node.chat import commands, events
from tests.transcripts import runner
from tests.transcripts.runner import player

FILES = sorted(path for path in (Path(__file__).parent / "native").glob("*.txt") if path.stem != "rows")
NOT_SENT_YET: set[str] = set()
"""Events of the vocabulary that no code sends yet."""


def frames(mark: str) -> set[str]:
    """The names of all frames that the files have in one direction."""
    lines = [line for path in FILES for line in path.read_text("utf-8").splitlines()]
    found = (re.match(rf"\w+{mark} (\{{.*)", line) for line in lines)
    return {
        str(re.search(r'"event"\s*:\s*"(\w+)"', one[1])[1]) for one in found if one and '"event"' in one[1]
    }  # type: ignore[index]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_the_transcript_is_what_is_said(path: Path) -> None:
    async with player(path) as playing:
        await playing.play(path.read_text("utf-8"))
        assert path.stem in playing.sent or path.stem not in commands.BY_NAME


def test_every_command_has_a_transcript_of_its_own_name() -> None:
    assert commands.BY_NAME.keys() - {path.stem for path in FILES} == set()


def test_every_event_is_in_a_transcript() -> None:
    assert events.BY_NAME.keys() - frames("<") - NOT_SENT_YET == set()


async def test_a_transcript_that_is_not_true_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "STEPS", 20)
    for wrong in (
        {"event": "ok", "req": 1},
        {"event": "ok", "req": 1, "rooms": []},
        {"event": "error", "*": "*"},
    ):
        path = tmp_path / "wrong.txt"
        path.write_text('@ world room\nann> {"event":"room_list","req":1}\nann< ' + json.dumps(wrong))
        with pytest.raises(AssertionError, match=r"(?s)wrong, line 3.*did not come"):
            async with player(path) as playing:
                await playing.play(path.read_text())
