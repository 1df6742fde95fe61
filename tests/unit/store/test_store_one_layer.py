"""The store and the rack change files through `store.disk` and through nothing else."""

import ast
import pathlib
import re

import pytest

import boot_resources

ROOMS = ("store", "rack", "region", "sync")
LAYER = "disk.py"
CHANGES = re.compile(
    "chmod|chown|copy|copy2|copyfile|copyfileobj|copytree|fallocate|fchmod|fdatasync|fsync|"
    "ftruncate|hardlink_to|link|makedirs|mkdir|mkfifo|mknod|mkstemp|move|posix_fallocate|pwrite|"
    "pwritev|remove|removedirs|rename|renames|replace|rmdir|rmtree|symlink|symlink_to|touch|"
    "truncate|unlink|utime|write_bytes|write_text|writev"
)
"""What changes a file, by whatever module or class."""
NO_FILES = re.compile(
    "_disk|disk|_tree|_inventory|_recency|_offer|dataclasses|datetime|images|now|self|text"
)
"""Whose methods of these names change no file themselves, or are the layer."""
WRITING = {"O_WRONLY", "O_CREAT", "O_TRUNC", "O_APPEND", "O_TMPFILE"}


def sources() -> list[pathlib.Path]:
    house = pathlib.Path(boot_resources.__file__).parent
    found = (path for room in ROOMS for path in sorted((house / room).glob("*.py")))
    return [path for path in found if path.name != LAYER]


def offences(source: str) -> list[str]:
    """Return the calls that change a file, or open one to be changed."""
    calls = [each for each in ast.walk(ast.parse(source)) if isinstance(each, ast.Call)]
    return [ast.unparse(call) for call in calls if _changes(call) or _opens_to_change(call)]


def _changes(call: ast.Call) -> bool:
    match call.func:
        case ast.Attribute(value=owner, attr=name) if CHANGES.fullmatch(name):
            return not NO_FILES.fullmatch(ast.unparse(owner).rpartition(".")[2])
        case _:
            return False


def _opens_to_change(call: ast.Call) -> bool:
    written = ast.unparse(call)
    name = ast.unparse(call.func).rpartition(".")[2]
    if name == "open":
        modes = [each.value for each in call.args if isinstance(each, ast.Constant)]
        modes += [
            each.value.value for each in call.keywords if isinstance(each.value, ast.Constant)
        ]
        texts = [mode for mode in modes if isinstance(mode, str)]
        return any(set(mode) & set("wax+") for mode in texts if set(mode) <= set("rwaxbt+"))
    return name == "fdopen" and '"w' in written


@pytest.mark.parametrize("path", sources(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nothing_but_the_layer_changes_a_file(path: pathlib.Path) -> None:
    source = path.read_text()
    assert offences(source) == []
    assert not WRITING & {
        each.attr for each in ast.walk(ast.parse(source)) if isinstance(each, ast.Attribute)
    }


@pytest.mark.parametrize(
    "source",
    [
        "path.unlink()",
        "os.replace(a, b)",
        "os.rename(a, b)",
        "path.rename(target)",
        "self._path.write_bytes(b'')",
        "open(path, 'wb')",
        "path.open('r+b')",
        "path.open(mode='a')",
        "os.ftruncate(fd, 0)",
        "shutil.rmtree(path)",
        "path.touch()",
    ],
)
def test_a_call_that_changes_a_file_is_seen(source: str) -> None:
    assert offences(source) == [source]


@pytest.mark.parametrize(
    "source",
    ["path.open('rb')", "self._disk.rename(a, b)", "dataclasses.replace(a, b=1)", "path.open()"],
)
def test_a_call_that_changes_none_is_not(source: str) -> None:
    assert offences(source) == []
