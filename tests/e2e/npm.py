"""Packages of Node.js, exactly those of the lock, in a folder of the test's own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

CLIENTS = Path(__file__).resolve().parents[1] / "real_clients"
_NO_WAY = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH", "ECONNRESET")
NEEDED = pytest.mark.skipif(
    not (shutil.which("node") and shutil.which("npm")), reason="node and npm are needed"
)


def installed(folder: Path, *scripts: str) -> Path:
    """Install the lock's packages into a folder, with some of our scripts beside them; return the folder."""
    for name in ("package.json", "package-lock.json", *scripts):
        shutil.copy(CLIENTS / name, folder)
    words = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    said = done.stdout + done.stderr
    if done.returncode and any(word in said for word in _NO_WAY):
        pytest.skip("the index of npm cannot be reached from here")
    assert done.returncode == 0, said
    return folder
