"""A real node whose disk fails under it: made read-only by its system, or answering with errors."""

from __future__ import annotations

import asyncio
import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.nodes import Frontend, NodeProcess, befriend, make_room, running
from tests.e2e.test_full_disk import answer

COMPILER = shutil.which("cc")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" or COMPILER is None, reason="writes are made to fail by a library, for Linux"
    ),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes writes fail."""
    assert COMPILER is not None
    built = tmp_path_factory.mktemp("disk") / "failing_disk.so"
    source = Path(__file__).with_name("failing_disk.c")
    subprocess.run([COMPILER, "-shared", "-fPIC", "-o", built, source, "-ldl"], check=True)
    return built


async def taken(frontend: Frontend, room: str, text: str) -> None:
    """Say something, with one nonce, until it is taken."""
    for number in range(100):
        came = await answer(frontend, f"{text} {number}", "user_message", room=room, message=text, nonce=text)
        if came["event"] == "ok":
            return
        assert came["code"] == "storage_full", came
        await asyncio.sleep(0.2)
    raise AssertionError("the disk was well again, and it was not noticed")


@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO], ids=lambda number: errno.errorcode[number])
async def test_a_disk_that_takes_no_writes_refuses_and_is_got_over_without_a_restart(
    number: int, library: Path, tmp_path: Path
) -> None:
    switch = tmp_path / "disk"
    ann, bob = NodeProcess(tmp_path / "ann", "ann"), NodeProcess(tmp_path / "bob", "bob")
    ann.env = {"LD_PRELOAD": str(library), "FAILING_DISK": str(switch)}
    async with running(ann):
        bob.flags = ("--peer", ann.address)
        await bob.start()
        try:
            await befriend(ann, bob)
            room = await make_room(ann, bob)
            async with ann.frontend({}) as at_ann, bob.frontend({}) as at_bob:
                await at_ann.call("user_message", room=room, message="before")
                switch.write_text(str(number))
                came = await answer(at_ann, "a", "user_message", room=room, message="lost?", nonce="lost?")
                assert (came["event"], came["code"], came["retryable"]) == ("error", "storage_full", True)
                page = await at_ann.call("history_get", room=room)
                assert [m["message"] for m in page["messages"]] == ["before"]
                await at_bob.call("user_message", room=room, message="from bob")
                await asyncio.sleep(2)
                assert ann.process is not None and ann.process.returncode is None
                switch.unlink()
                await taken(at_ann, room, "lost?")
                await at_ann.wait(lambda e: e.get("message") == "from bob", 60)
                await at_bob.wait(lambda e: e.get("message") == "lost?", 60)
                assert sorted(at_ann.texts()) == ["before", "from bob", "lost?"]
                assert sorted(at_bob.texts()) == ["before", "from bob", "lost?"]
            assert await ann.stop() == 0
        finally:
            if bob.process is not None:
                await bob.kill()


async def refused_while_starting(ann: NodeProcess) -> None:
    """Say something over the bridge of a node that has not started; it is refused for want of room."""
    async with asyncio.timeout(30):
        while True:
            try:
                async with ann.frontend({}) as at_ann:
                    await at_ann.event("warning", code="storage_full")
                    came = await at_ann.answer("room_list")
                    assert (came["event"], came["code"], came["retryable"]) == ("error", "storage_full", True)
                    assert (await at_ann.call("node_status"))["connectivity"] == "alone"
                    return
            except OSError:  # it does not listen yet
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("killed", [False, True], ids=["stopped before", "killed before"])
async def test_a_node_that_is_started_on_a_full_disk_says_so_and_begins_when_there_is_room(
    killed: bool, library: Path, tmp_path: Path
) -> None:
    switch = tmp_path / "disk"
    ann = NodeProcess(tmp_path / "ann", "ann")
    ann.env = {"LD_PRELOAD": str(library), "FAILING_DISK": str(switch)}
    async with running(ann):
        async with ann.frontend({}) as at_ann:
            room = (await at_ann.call("room_create", name="club"))["room"]
            await at_ann.call("user_message", room=room, message="before")
        if killed:
            await ann.kill()
        else:
            assert await ann.stop() == 0
        (ann.home / "runtime.json").unlink(missing_ok=True)
        switch.write_text(str(errno.ENOSPC))
        starting = asyncio.create_task(ann.start())
        try:
            await refused_while_starting(ann)
            assert ann.process is not None and ann.process.returncode is None and not starting.done()
            switch.unlink()
            await starting
        finally:
            starting.cancel()
        async with ann.frontend({}) as at_ann:
            await taken(at_ann, room, "after")
            page = await at_ann.call("history_get", room=room)
            assert [m["message"] for m in page["messages"]] == ["before", "after"]
        assert await ann.stop() == 0


async def test_a_node_that_waits_for_room_can_be_stopped_and_a_new_home_is_not_waited_for(
    library: Path, tmp_path: Path
) -> None:
    switch = tmp_path / "disk"
    ann, bob = NodeProcess(tmp_path / "ann", "ann"), NodeProcess(tmp_path / "bob", "bob")
    for node in (ann, bob):
        node.env = {"LD_PRELOAD": str(library), "FAILING_DISK": str(switch)}
    async with running(ann):
        assert await ann.stop() == 0
        switch.write_text(str(errno.ENOSPC))
        starting = asyncio.create_task(ann.start())
        try:
            await refused_while_starting(ann)
            assert await ann.stop() == 0
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        with pytest.raises(AssertionError, match="storage_full"):
            await bob.start()
