"""What a relay holds for others: a file for each block, whole or not there, and its own folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.chat.filing import BlockHeld, BlocksSwept, DropBlock, HoldBlock, SweepBlocks
from node.store.folders import DiskFolder, Folder, MemoryFolder
from node.store.held_blocks import HeldBlocks

A, B, C = (bytes([n]) * 32 for n in range(3))


@pytest.fixture(params=["disk", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "memory":
        return MemoryFolder()
    disk = DiskFolder(tmp_path / "parts")
    disk.prepare()
    return disk


def test_what_is_held_is_read_in_pieces_until_it_is_dropped(folder: Folder) -> None:
    blocks = HeldBlocks(folder)
    assert blocks.carry_out(HoldBlock(A, b"0123456789")) == BlockHeld(A, kept=True)
    assert HeldBlocks(folder).read(A.hex(), 3, 4) == b"3456"
    assert blocks.read(B.hex(), 0, 4) is None
    blocks.carry_out(DropBlock(A))
    blocks.carry_out(DropBlock(A))
    assert blocks.read(A.hex(), 0, 4) is None and folder.sizes() == {}


def test_a_start_erases_what_is_not_known_and_says_what_is_missing(folder: Folder) -> None:
    blocks = HeldBlocks(folder)
    blocks.carry_out(HoldBlock(A, b"a"))
    blocks.carry_out(HoldBlock(B, b"b"))
    folder.write(C.hex() + ".part", 0, b"half")
    assert blocks.carry_out(SweepBlocks(frozenset({A, C}))) == BlocksSwept(frozenset({C}))
    assert set(folder.sizes()) == {A.hex()}


def test_a_full_disk_is_an_answer_and_leaves_nothing() -> None:
    folder = MemoryFolder()
    folder.room = 3
    assert HeldBlocks(folder).carry_out(HoldBlock(A, b"0123")) == BlockHeld(A, kept=False)
    assert folder.sizes() == {}
