"""One node a home, with real processes."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from node.errors import Fatal
from node.store.lock import HomeLock

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from pathlib import Path
from node.errors import Fatal
from node.store.lock import HomeLock
try:
    lock = HomeLock.take(Path(sys.argv[1]))
except Fatal as fatal:
    print(fatal.code, flush=True)
    sys.exit(fatal.exit_code)
print("held", flush=True)
sys.stdin.read()
"""


def start(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ended(process: subprocess.Popen[str]) -> int:
    process.communicate()
    return process.returncode


def test_a_second_start_is_refused_and_told_the_pid(tmp_path: Path) -> None:
    lock = HomeLock.take(tmp_path)
    with pytest.raises(Fatal, match=f"pid {os.getpid()}") as fatal:
        HomeLock.take(tmp_path)
    assert (fatal.value.code, fatal.value.exit_code) == ("home_locked", 7)
    assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o600
    lock.release()
    HomeLock.take(tmp_path).release()


def test_a_full_disk_that_has_no_room_for_the_pid_keeps_nobody_from_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int, _what: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "ftruncate", full)
    monkeypatch.setattr(os, "write", full)
    lock = HomeLock.take(tmp_path)
    with pytest.raises(Fatal, match="pid unknown"):
        HomeLock.take(tmp_path)
    lock.release()
    HomeLock.take(tmp_path).release()


def test_a_stale_file_with_somebody_elses_pid_locks_nothing(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(f"{os.getppid()}\n{'9' * 100}\n")
    lock = HomeLock.take(tmp_path)
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    lock.release()
    lock.release()


@pytest.mark.slow
def test_a_killed_owners_home_is_taken_over_at_once(tmp_path: Path) -> None:
    owner = start(tmp_path)
    assert said(owner) == "held"
    with pytest.raises(Fatal, match=f"pid {owner.pid}"):
        HomeLock.take(tmp_path)
    owner.send_signal(signal.SIGKILL)
    ended(owner)
    HomeLock.take(tmp_path).release()


@pytest.mark.slow
def test_of_many_starts_at_once_exactly_one_holds_the_home(tmp_path: Path) -> None:
    starts = [start(tmp_path) for _ in range(8)]
    assert sorted(said(process) for process in starts) == ["held"] + ["home_locked"] * 7
    assert sorted(ended(process) for process in starts) == [0] + [7] * 7
