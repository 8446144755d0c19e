"""A build that is served: its files, from its folder alone, and its page for every other path."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.bridge import static
from node.errors import Refused


@pytest.fixture
def build(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<p>page</p>")
    (folder / "assets" / "app.js").write_text("app()")
    (folder / "assets" / "Bild ü.PNG").write_bytes(b"png")
    (folder / "server.py").write_text("secret")
    (folder / ".env").write_text("secret")
    (folder / ".git").mkdir()
    (folder / ".git" / "config.json").write_text("secret")
    (folder / "folder.js").mkdir()
    (tmp_path / "outside.js").write_text("secret")
    (folder / "out.js").symlink_to(tmp_path / "outside.js")
    (folder / "up").symlink_to(tmp_path)
    (folder / "hidden.js").symlink_to(folder / ".git" / "config.json")
    (folder / "round.js").symlink_to(folder / "round.js")
    (folder / "inside.js").symlink_to(folder / "assets" / "app.js")
    return folder


def given(folder: Path, path: str) -> tuple[bytes, str] | None:
    found = static.find(folder, path)
    if found is None:
        return None
    with found[0] as file:
        return file.read(), found[1]


def test_a_file_is_given_as_what_its_ending_says(build: Path) -> None:
    assert given(build, "/assets/app.js") == (b"app()", "text/javascript; charset=utf-8")
    assert given(build, "/assets/Bild ü.PNG") == (b"png", "image/png")
    assert given(build, "/inside.js") == (b"app()", "text/javascript; charset=utf-8")


@pytest.mark.parametrize("path", ["/", "/index.html", "/rooms/17", "/server.py", "/assets/", "/up", "//"])
def test_any_other_path_is_the_page(build: Path, path: str) -> None:
    assert given(build, path) == (b"<p>page</p>", "text/html; charset=utf-8")


@pytest.mark.parametrize(
    "path",
    [
        "/../outside.js", "/assets/../../outside.js", "/.env",
        "/.git/config.json", "/out.js", "/up/outside.js",
        "/hidden.js", "/round.js", "/folder.js", "/missing.js", "/assets\\app.js", "/a\0.js", "/C:/x.js",
        "//etc/../outside.js", "/.", "/..",
    ],
)  # fmt: skip
def test_nothing_outside_nothing_hidden_and_no_folder_is_given(build: Path, path: str) -> None:
    assert given(build, path) is None


def test_a_folder_that_is_itself_a_link_is_served(build: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(build)
    assert given(tmp_path / "link", "/assets/app.js") is not None


def test_a_folder_that_has_become_the_nodes_own_is_not_given(build: Path, tmp_path: Path) -> None:
    for home in (build, build / "assets", tmp_path):
        assert static.find(build, "/assets/app.js", home) is None
    link, home = tmp_path / "current", tmp_path / "home"
    home.mkdir()
    (home / "runtime.json").write_text("secret")
    link.symlink_to(build)
    found = static.find(link, "/assets/app.js", home)
    assert found is not None
    found[0].close()
    link.unlink()
    link.symlink_to(home)
    assert static.find(link, "/runtime.json", home) is None


def test_only_a_folder_with_a_page_can_be_served_and_never_the_nodes_own(build: Path, tmp_path: Path) -> None:
    static.check(build, None)
    static.check(build, tmp_path / "home")
    for folder in (tmp_path / "nowhere", build / "assets", build / "index.html"):
        with pytest.raises(Refused) as refused:
            static.check(folder, None)
        assert (refused.value.code, refused.value.field) == ("no_index", "serve")
    for home in (build, build / "home", tmp_path):
        with pytest.raises(Refused) as refused:
            static.check(build, home)
        assert refused.value.code == "invalid"
