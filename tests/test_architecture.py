"""The shape of the code, proved on every module: floors, shells, sizes (docs/architecture.md)."""

from __future__ import annotations

import ast
from collections.abc import Container, Iterator
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted([ROOT / "cli.py", *(ROOT / "node").rglob("*.py")])
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 50

FLOORS = {
    "node.errors": 0,
    "node.ids": 1,
    "node.clock": 1,
    "node.tables": 1,
    "node.values": 1,
    "node.wire": 2,
    "node.crypto": 3,
    "node.chat": 4,
    "node.mesh": 5,
    "node.bridge": 5,
    "node.store": 5,
    "node.engine": 6,
    "node.sim": 8,
    "node.sim_shell": 7,
    "node.sim_session": 6,
    "node.sim_mesh": 6,
    "node.sim_friends": 9,
    "node.sim_bridge": 10,
    "node.config": 8,
    "node.client": 8,
    "node.web": 8,
    "node.gathering": 6,
    "node.lanes": 7,
    "node.reads": 7,
    "node.turns": 7,
    "node.loop": 8,
    "node.addresses": 8,
    "node.alarm": 7,
    "node.places": 8,
    "node.vault": 8,
    "node.auditfile": 8,
    "node.backups": 8,
    "node.running": 9,
    "node.gate": 9,
    "node.daemon": 10,
    "node.commandline": 11,
    "cli": 12,
}
"""The floor of each part; `node` itself (its version) is the ground that anyone may stand on."""

SHELLS = (
    "node.mesh.doorway",
    "node.mesh.intake",
    "node.mesh.line",
    "node.mesh.transport",
    "node.mesh.certificates",
    "node.mesh.lan",
    "node.mesh.reasons",
    "node.bridge.server",
    "node.bridge.http_",
    "node.bridge.listeners",
    "node.bridge.static",
    "node.bridge.certificates",
    "node.store.sqlite",
    "node.store.reader",
    "node.store.searching",
    "node.store.writer",
    "node.store.claims",
    "node.store.creation",
    "node.store.copying",
    "node.store.shredding",
    "node.store.attachments",
    "node.store.folders",
    "node.store.identity",
    "node.store.files",
    "node.store.lock",
    "node.config",
    "node.client",
    "node.gathering",
    "node.reads",
    "node.loop",
    "node.alarm",
    "node.addresses",
    "node.places",
    "node.vault",
    "node.auditfile",
    "node.backups",
    "node.running",
    "node.gate",
    "node.sim_bridge",
    "node.daemon",
    "node.commandline.",
    "cli",
)
"""The only modules that touch the world; a name that ends in `.` or `_` stands for all that it begins."""

WORLD = frozenset(
    """asyncio socket selectors select ssl os io sys pathlib shutil tempfile fcntl time datetime random
    secrets uuid sqlite3 aiosqlite aiohttp websockets subprocess signal threading multiprocessing
    concurrent logging platform getpass webbrowser urllib http platformdirs click rich""".split()  # noqa: SIM905
)
PURE_PARTS = {
    "uuid": frozenset({"UUID"}),  # parsing and printing; uuid4 draws from the system
    "urllib": frozenset({"urlsplit", "unquote_to_bytes"}),
    "datetime": frozenset({"UTC", "datetime", "timedelta", "timezone"}),
}
"""What a core may take from a module that otherwise touches the world; never a call that reads the clock."""
IMPURE_CALLS = frozenset(
    ("open", "input", "print", "breakpoint", "urandom", "now", "utcnow", "today", "uuid1", "uuid4")
)


def name_of(path: Path) -> str:
    """`node/wire/codec.py` as `node.wire.codec`, a package as its own name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module: str) -> str:
    """The part of FLOORS that a module belongs to: a top-level module or package of `node`."""
    return ".".join(module.split(".")[:2])


def is_shell(module: str) -> bool:
    return any(module.startswith(shell) if shell[-1] in "._" else module == shell for shell in SHELLS) or (
        module == "node.commandline"
    )


def imports(tree: ast.AST) -> Iterator[tuple[str, str | None, int]]:
    """Every import as (module, name taken from it or None, line), those inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            yield from ((str(node.module), alias.name, node.lineno) for alias in node.names)


def ours(module: str, name: str | None) -> str | None:
    """The module of this project that an import reaches, or None if it is somebody else's."""
    if module == "node":
        return f"node.{name}" if name and f"node.{name}" in FLOORS else "node"
    return module if module == "cli" or module.startswith("node.") else None


@pytest.fixture(scope="module", params=MODULES, ids=name_of)
def path(request: pytest.FixtureRequest) -> Path:
    """One module after another: all that is asked of one is asked in a row."""
    return request.param  # type: ignore[no-any-return]


@lru_cache(maxsize=1)
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def strangers(module: str, tree: ast.AST) -> list[str]:
    """What a module imports that is neither below it nor of its own package."""
    mine = part_of(module)
    found = []
    for target, name, line in imports(tree):
        there = ours(target, name)
        if there in (None, "node") or part_of(str(there)) == mine:
            continue
        if FLOORS[part_of(str(there))] >= FLOORS[mine]:
            found.append(f"{module}:{line} imports {there}")
    return found


def touches(module: str, tree: ast.AST) -> list[str]:
    """Where a module that is no shell touches the world."""
    found = []
    for target, name, line in imports(tree):
        top = target.split(".")[0]
        if top in WORLD and name not in PURE_PARTS.get(top, ()) and (name or top != "uuid"):
            found.append(f"{module}:{line} imports {target}")
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await):
            found.append(f"{module}:{node.lineno} is asynchronous")
        elif isinstance(node, ast.Call) and called(node) in IMPURE_CALLS:
            found.append(f"{module}:{node.lineno} calls {called(node)}")
    return found


def called(node: ast.Call) -> str:
    """The bare name of a builtin, or of what is called on a module that touches the world."""
    match node.func:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id=owner), attr=name) if owner in WORLD:
            return name
        case _:
            return ""


def at_import(tree: ast.AST, known: Container[str]) -> Iterator[str]:
    """What of the known modules a module imports at once: nothing in functions, nor for the types alone."""
    for node in ast.iter_child_nodes(tree):
        typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if typing or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (one if one in known else str(node.module) for one in inner)
        yield from at_import(node, known)


def ring(trees: dict[str, ast.Module]) -> list[str]:
    """Modules that need each other to be imported, first and last the same; none if there is no such ring."""
    needs = {name: trees.keys() & set(at_import(tree, trees)) - {name} for name, tree in trees.items()}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as found:
        return list(found.args[1])
    return []


def test_every_module_has_a_floor() -> None:
    names = [name_of(path) for path in MODULES]
    assert [name for name in names if name != "node" and part_of(name) not in FLOORS] == []


def test_a_module_imports_only_what_is_below_it_or_its_own_package(path: Path) -> None:
    if name_of(path) != "node":
        assert not strangers(name_of(path), parse(path))


def test_no_modules_need_each_other_to_be_imported() -> None:
    assert ring({name_of(path): parse(path) for path in MODULES}) == []


def test_only_a_shell_touches_the_world(path: Path) -> None:
    module = name_of(path)
    assert is_shell(module) or not touches(module, parse(path))


def test_only_crypto_primitives_imports_the_crypto_library(path: Path) -> None:
    users = [line for target, _, line in imports(parse(path)) if target.split(".")[0] == "nacl"]
    assert not users or name_of(path) == "node.crypto.primitives"


def test_a_file_and_its_functions_keep_their_size(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= MAX_FILE_LINES
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    functions = [node for node in ast.walk(parse(path)) if isinstance(node, kinds)]
    long = [f.name for f in functions if (f.end_lineno or 0) - f.lineno + 1 > MAX_FUNCTION_LINES]
    assert not long


def test_a_module_says_what_it_is_about(path: Path) -> None:
    assert ast.get_docstring(parse(path))


def test_the_proof_finds_what_it_is_for() -> None:
    upward = ast.parse("from node.engine import Engine\nfrom node.mesh import gossip\nimport node.wire.codec")
    assert [bad.split()[-1] for bad in strangers("node.store.records", upward)] == [
        "node.engine",
        "node.mesh",
    ]
    inner = ast.parse("def f():\n    import time\n    from node import daemon\n")
    assert strangers("node.chat.room", inner)
    assert touches("node.chat.room", inner)
    assert touches("node.chat.room", ast.parse("import uuid\nfrom uuid import uuid4\nx = uuid.uuid4()"))
    assert not touches("node.ids", ast.parse("import uuid\nfrom uuid import UUID\nx = uuid.UUID(int=1)"))
    assert touches("node.chat.room", ast.parse("async def f(): ..."))
    assert touches("node.chat.room", ast.parse("open('x')"))
    one, other = ast.parse("from node.chat import other"), ast.parse("import node.chat.one")
    lazy = ast.parse("if TYPE_CHECKING:\n    import node.chat.one\ndef f():\n    import node.chat.one")
    assert set(ring({"node.chat.one": one, "node.chat.other": other})) == {"node.chat.one", "node.chat.other"}
    assert ring({"node.chat.one": one, "node.chat.other": lazy}) == []
    assert is_shell("node.bridge.http_routes")
    assert not is_shell("node.bridge.guard")
    assert not is_shell("cling")
