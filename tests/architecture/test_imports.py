"""The import rules between the rooms, walked over the source: an import in a function counts too.

``ALLOWED`` is the whole agreement: which rooms a room may import, beside itself. What a rule
protects is said beside it.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("scalecast_assets", "serving")

ANY = frozenset({"keys"})
BELOW_ASSETS = ANY | {
    "settings", "resources", "ingest", "forecasting", "promotion", "monitoring", "contract",
}  # fmt: skip
ALLOWED: dict[str, frozenset[str]] = {
    "contract": ANY,
    "forecasting": ANY | {"contract"},
    "migrations": frozenset(),
    "ingest": ANY | {"contract", "migrations"},
    "promotion": ANY | {"contract"},
    "recipes": ANY | {"contract"},
    "monitoring": ANY | {"ingest", "forecasting", "contract"},
    "resources": ANY | {"settings", "ingest", "forecasting", "promotion", "contract"},
    "checks": BELOW_ASSETS | {"assets"},
    "assets": BELOW_ASSETS | {"checks"},
    "automation": ANY | {"resources", "ingest", "monitoring", "contract"},
    "alerting": ANY | {"resources", "ingest", "contract"},
    "retention": ANY | {"resources", "ingest", "promotion", "contract"},
    "keys": frozenset(),
    "settings": ANY | {"contract"},
    "serving": frozenset({"contract"}),
}
"""Modules directly in ``scalecast_assets``, and those in ``commands``, may import any room."""

ORCHESTRATION = {"dagster", "dagster_aws", "dagster_dbt", "dagster_postgres", "dbt"}
WEB = {"fastapi", "starlette", "uvicorn"}
FORBIDDEN_LIBRARIES: dict[str, set[str]] = {
    "contract": ORCHESTRATION | WEB,
    "forecasting": ORCHESTRATION | WEB | {"boto3"},
    "migrations": ORCHESTRATION | WEB,
    "ingest": ORCHESTRATION | WEB,
    "promotion": ORCHESTRATION | WEB,
    "monitoring": ORCHESTRATION | WEB,
    "serving": ORCHESTRATION
    | {"great_expectations", "pandas", "pickle", "sklearn", "torch", "xgboost"},
}
CONTRACT_LIBRARIES = {"numpy", "boto3", "botocore", "urllib3"}
"""What the contract room may import beside the standard library; all but numpy for error types."""


def source_files() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def files_of_tests() -> list[Path]:
    return sorted((ROOT / "tests").rglob("test_*.py"))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(path: Path) -> str | None:
    """The room a file lives in; ``None`` for the modules that put the rooms together."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] == "serving":
        return "serving"
    room = parts[1]
    return room if room in ALLOWED else None


def imported_modules(path: Path) -> Iterator[str]:
    """Every module named by an import anywhere in the file, imports for type checkers left out."""
    package = ".".join(path.relative_to(ROOT).parent.parts)
    for node in running_nodes(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base]) if base else ".".join(parents)
            yield base
            yield from (f"{base}.{name.name}" for name in node.names)


def running_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below ``node`` except what only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            yield from (below for part in child.orelse for below in (part, *running_nodes(part)))
            continue
        yield child
        yield from running_nodes(child)


def own_rooms(path: Path) -> set[str]:
    """The rooms of ScaleCast that a file imports."""
    rooms = set()
    for module in imported_modules(path):
        parts = module.split(".")
        if parts[0] == "serving":
            rooms.add("serving")
        elif parts[0] == "scalecast_assets" and len(parts) > 1:
            rooms.add(parts[1])
    return rooms


def libraries(path: Path) -> set[str]:
    return {module.split(".")[0] for module in imported_modules(path)} - set(PACKAGES)


def in_room(room: str) -> list[Path]:
    return [path for path in source_files() if room_of(path) == room]


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_the_rooms_below_it(room: str) -> None:
    wrong = {
        relative(path): sorted(found)
        for path in in_room(room)
        if (found := own_rooms(path) - ALLOWED[room] - {room})
    }
    assert wrong == {}


@pytest.mark.parametrize("room", sorted(FORBIDDEN_LIBRARIES))
def test_a_pure_room_imports_no_framework(room: str) -> None:
    wrong = {
        relative(path): sorted(found)
        for path in in_room(room)
        if (found := libraries(path) & FORBIDDEN_LIBRARIES[room])
    }
    assert wrong == {}


def test_the_contract_room_needs_only_numpy_at_import() -> None:
    known = set(sys.stdlib_module_names) | CONTRACT_LIBRARIES
    wrong = {
        relative(path): sorted(found)
        for path in in_room("contract")
        if (found := libraries(path) - known)
    }
    assert wrong == {}


def test_the_contract_room_builds_no_s3_client() -> None:
    wrong = [
        relative(path)
        for path in in_room("contract")
        for module in imported_modules(path)
        if module.split(".")[0] == "boto3" and not module.startswith("boto3.exceptions")
    ]
    assert wrong == []


def test_nobody_imports_the_tests() -> None:
    assert [relative(path) for path in source_files() if "tests" in libraries(path)] == []


@pytest.mark.parametrize(
    "room", ["contract", "forecasting", "migrations", "ingest", "promotion", "monitoring"]
)
def test_a_pure_room_does_not_read_the_environment(room: str) -> None:
    readers = {"environ", "environb", "getenv"}
    wrong = [
        f"{relative(path)}:{node.lineno}"
        for path in in_room(room)
        for node in ast.walk(tree_of(path))
        if (isinstance(node, ast.Attribute) and node.attr in readers)
        or (isinstance(node, ast.Name) and node.id in readers)
    ]
    assert wrong == []


def test_the_package_itself_imports_nothing() -> None:
    """The sidecar imports ``scalecast_assets.contract``, and with it this file."""
    assert list(imported_modules(ROOT / "scalecast_assets" / "__init__.py")) == []


def test_dagster_files_evaluate_their_annotations() -> None:
    """Dagster reads the annotations of assets; postponed ones are strings to it."""
    wrong = [
        relative(path)
        for path in source_files()
        if libraries(path) & ORCHESTRATION and "__future__.annotations" in imported_modules(path)
    ]
    assert wrong == []


def test_only_an_adapter_reaches_into_private_parts_of_dagster() -> None:
    private = [
        relative(path)
        for path in source_files()
        if any(module.startswith("dagster._") for module in imported_modules(path))
    ]
    assert len(private) <= 1, f"one adapter at most, found {private}"


@pytest.mark.parametrize("path", files_of_tests(), ids=relative)
def test_every_test_can_fail(path: Path) -> None:
    """Each test asserts something, itself or through a helper that says so by its name."""
    silent = [
        f"{function.name} (line {function.lineno})"
        for function in ast.walk(tree_of(path))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and function.name.startswith("test_")
        and not any(asserts(node) for node in ast.walk(function))
    ]
    assert silent == []


def asserts(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert):
        return True
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func).split(".")[-1]
    return called in {"raises", "warns", "fail", "eventually"} or called.startswith(
        ("assert_", "check_")
    )
