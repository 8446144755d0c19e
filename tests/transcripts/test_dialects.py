"""The dialects of the other protocols, frame by frame: one file a row of the published documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.transcripts.runner import player

FILES = sorted(path for path in Path(__file__).parent.glob("*_0??/*.txt") if path.stem != "rows")


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
async def test_the_transcript_is_what_is_said(path: Path) -> None:
    async with player(path) as playing:
        await playing.play(path.read_text("utf-8"))
