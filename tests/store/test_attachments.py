"""The folder of attachments: whole or not there, private, bounded, the same on disk and in memory."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from node.chat.filing import (
    DropFile,
    DropUnfinished,
    FileFinished,
    FileSealed,
    FilesSwept,
    FindParts,
    FinishFile,
    PartRead,
    PartsFound,
    ReadPart,
    SealFile,
    SweepFiles,
    WritePart,
)
from node.crypto.attachment import object_of
from node.errors import PeerFault, Refused, StoreFull
from node.sim_session import stream
from node.store.attachments import AttachmentFiles
from node.store.folders import DiskFolder, Folder, MemoryFolder
from node.wire.manifest import Manifest

DATA = bytes(range(256)) * 600


@pytest.fixture(params=["disk", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "memory":
        return MemoryFolder()
    disk = DiskFolder(tmp_path / "attachments")
    disk.prepare()
    return disk


def shelf(folder: Folder, quota: int = 1 << 30, seed: str = "s") -> AttachmentFiles:
    files = AttachmentFiles(folder, stream(seed), quota)
    files.open()
    return files


def stored(files: AttachmentFiles, data: bytes = DATA) -> Manifest:
    upload = files.upload()
    for at in range(0, len(data), 10_000):
        upload.add(data[at : at + 10_000])
    return upload.finish("tea.png", "image/png")


def test_what_was_taken_in_comes_out_again_after_a_restart(folder: Folder) -> None:
    manifest = stored(shelf(folder))
    assert list(folder.sizes()) == [object_of(manifest).hex()]
    again = shelf(folder)
    assert b"".join(again.content(manifest)) == DATA
    assert again.used == manifest.sealed


def test_parts_make_a_whole_only_when_all_are_there_and_it_opens(folder: Folder) -> None:
    manifest = stored(shelf(MemoryFolder()))
    source = shelf(MemoryFolder())
    stored(source)
    name, files = object_of(manifest), shelf(folder)
    blocks = [source.carry_out(ReadPart(name, i, *manifest.span(i))) for i in range(len(manifest.blocks))]
    for index in (3, 0, 5):
        part = blocks[index]
        assert isinstance(part, PartRead) and part.data is not None
        assert files.carry_out(WritePart(name, manifest.span(index)[0], part.data)) is None
    files = shelf(folder)
    assert files.carry_out(FindParts(name, manifest)) == PartsFound(name, frozenset({0, 3, 5}), whole=False)
    assert files.carry_out(FinishFile(name, manifest)) == FileFinished(name, "bad")
    assert folder.sizes() == {}
    for index, part in enumerate(blocks):
        assert isinstance(part, PartRead) and part.data is not None
        files.carry_out(WritePart(name, manifest.span(index)[0], part.data))
    assert files.carry_out(FinishFile(name, manifest)) == FileFinished(name)
    assert files.carry_out(FindParts(name, manifest)) == PartsFound(name, frozenset(), whole=True)
    assert b"".join(files.content(manifest)) == DATA


def test_what_is_unfinished_gives_way_but_for_what_is_kept(folder: Folder) -> None:
    files = shelf(folder)
    whole, (kept, gone) = stored(files), (b"k" * 32, b"g" * 32)
    for name in (kept, gone):
        assert files.carry_out(WritePart(name, 100, b"x")) is None
    assert files.carry_out(DropUnfinished(frozenset({kept}))) is None
    assert set(folder.sizes()) == {object_of(whole).hex(), kept.hex() + ".part"}
    assert files.used == whole.sealed + 101


def test_a_stored_stream_that_is_changed_cut_or_grown_is_not_given_out_as_whole(folder: Folder) -> None:
    files = shelf(folder)
    manifest = stored(files)
    name = object_of(manifest).hex()
    whole = b"".join(files._pieces(name, manifest.sealed))
    for change in (
        lambda: folder.write(name, 70_000, bytes([whole[70_000] ^ 1])),
        lambda: folder.write(name, manifest.sealed, b"more"),
    ):
        change()
        with pytest.raises(PeerFault):
            list(files.content(manifest))
        folder.remove(name)
        folder.write(name, 0, whole)
        assert b"".join(files.content(manifest)) == DATA
    folder.remove(name)
    folder.write(name, 0, whole[:-1])
    with pytest.raises(PeerFault):
        list(files.content(manifest))
    folder.remove(name)
    with pytest.raises(StoreFull):
        list(files.content(manifest))


def test_a_sweep_erases_what_nobody_names_and_tells_what_is_missing(folder: Folder) -> None:
    files = shelf(folder)
    kept, orphan = stored(files), stored(files, b"orphan")
    folder.write("f" * 64 + ".part", 0, b"x")
    folder.write("e" * 64 + ".part", 0, b"x")
    folder.write("a" * 32 + ".new", 0, b"x")
    files = shelf(folder, seed="t")
    fresh = stored(files, b"uploaded before the sweep")
    swept = files.carry_out(
        SweepFiles(frozenset({object_of(kept), b"m" * 32}), frozenset({bytes.fromhex("ee" * 32)}))
    )
    assert swept == FilesSwept(frozenset({b"m" * 32}))
    left = {object_of(kept).hex(), object_of(fresh).hex(), "e" * 64 + ".part"}
    assert folder.sizes().keys() == left and object_of(orphan).hex() not in left


def test_the_quota_and_a_full_disk_refuse_and_leave_nothing(folder: Folder) -> None:
    files = shelf(folder, quota=len(DATA) + 5_000)
    manifest = stored(files)
    with pytest.raises(StoreFull):
        stored(files)
    assert files.carry_out(SealFile(1, "a", "b/c", b"x" * 10_000)) == FileSealed(1, None)
    assert files.carry_out(WritePart(b"n" * 32, 100_000, b"x")) == FileFinished(b"n" * 32, "full")
    files.carry_out(DropFile(object_of(manifest)))
    assert files.used < 150_000
    files = shelf(folder)
    sealed = files.carry_out(SealFile(2, "a", "b/c", b"x" * 10_000))
    assert isinstance(sealed, FileSealed) and sealed.manifest is not None


def test_a_disk_that_fills_up_in_the_middle_is_told_and_recovers() -> None:
    folder = MemoryFolder()
    folder.room = 100_000
    files = shelf(folder)
    upload = files.upload()
    with pytest.raises(StoreFull):
        for _ in range(4):
            upload.add(DATA[:65_536])
    upload.abandon()
    assert folder.held == {} and folder.room == 100_000 and files.used == 0
    folder.room = None
    assert b"".join(files.content(stored(files))) == DATA


@pytest.mark.parametrize("umask", [0, 0o777])
def test_folder_and_files_are_the_owners_alone_under_any_umask(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        disk = DiskFolder(tmp_path / "attachments")
        disk.prepare()
        manifest = stored(shelf(disk))
        assert b"".join(shelf(disk).content(manifest)) == DATA
    finally:
        os.umask(before)
    assert stat.S_IMODE(disk.path.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in disk.path.iterdir()] == [0o600]


def test_no_link_in_the_folder_or_in_its_place_is_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    disk = DiskFolder(tmp_path / "attachments")
    disk.prepare()
    (disk.path / ("a" * 64 + ".part")).symlink_to(precious)
    files = shelf(disk)
    assert files.carry_out(WritePart(bytes.fromhex("aa" * 32), 0, b"evil")) == FileFinished(
        bytes.fromhex("aa" * 32), "full"
    )
    assert precious.read_bytes() == b"mine"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):  # what kind is the system's to say
        DiskFolder(tmp_path / "link").prepare()


def test_an_error_of_the_disk_is_never_more_than_a_refusal(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = shelf(folder)
    manifest = stored(files)
    name = object_of(manifest)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "input/output error")

    for method in ("write", "publish", "remove", "read"):
        monkeypatch.setattr(folder, method, fail)
    orders: list[Callable[[], object]] = [
        lambda: files.carry_out(DropFile(name)),
        lambda: files.carry_out(WritePart(b"x" * 32, 0, b"x")),
        lambda: files.carry_out(SweepFiles(frozenset(), frozenset())),
        lambda: files.carry_out(ReadPart(name, 0, 0, 10)),
        lambda: files.carry_out(FinishFile(name, manifest)),
        lambda: files.carry_out(SealFile(1, "a", "b/c", b"x")),
    ]
    for order in orders:
        order()


def test_an_upload_that_was_given_up_while_it_was_written_writes_nothing_more(folder: Folder) -> None:
    files = shelf(folder)
    upload = files.upload()
    upload.add(DATA)
    upload.abandon()
    with pytest.raises(StoreFull):
        upload.add(DATA)
    done = files.upload()
    done.add(DATA)
    done.finish("a", "b/c")
    done.abandon()
    assert (folder.sizes(), files.used) == ({}, 0)


def test_a_folder_that_was_closed_takes_and_gives_nothing_more(folder: Folder) -> None:
    """Whoever opens it next erases what was coming; a rest that is written then would begin with a hole."""
    files = shelf(folder)
    manifest = stored(files)
    upload, coming = files.upload(), files.content(manifest)
    upload.add(DATA)
    next(coming)
    files.close()
    following = shelf(folder, seed="t")
    for late in (partial(upload.add, DATA), partial(upload.finish, "a", "b/c"), partial(list, coming)):
        with pytest.raises(Refused, match="locked"):
            late()
    upload.abandon()
    assert folder.sizes().keys() == {object_of(manifest).hex()}
    assert b"".join(following.content(manifest)) == DATA


def test_what_was_whole_before_a_crash_is_not_fetched_again(folder: Folder) -> None:
    manifest = stored(shelf(folder))
    name = object_of(manifest)
    files = shelf(folder)
    files.carry_out(SweepFiles(frozenset(), frozenset({name})))
    assert files.carry_out(FindParts(name, manifest)) == PartsFound(name, frozenset(), whole=True)


def test_what_somebody_else_put_there_is_left_alone(tmp_path: Path) -> None:
    disk = DiskFolder(tmp_path / "attachments")
    disk.prepare()
    for name in ("notes.txt", "draft.new", "a" * 63, "A" * 64, ".part"):
        (disk.path / name).write_bytes(b"mine")
    files = shelf(disk)
    files.carry_out(SweepFiles(frozenset(), frozenset()))
    assert len(list(disk.path.iterdir())) == 5 and files.used == 0
