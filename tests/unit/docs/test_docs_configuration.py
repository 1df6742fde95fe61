"""docs/configuration.md against the settings that the code knows."""

import pathlib
import re
import tomllib
import typing
from collections.abc import Iterator

import pydantic
import pytest
from pydantic import fields

from boot_resources.settings import files, rack, region
from support import documents

TEXT = documents.read("docs/configuration.md")
CHAPTERS: dict[str, type[pydantic.BaseModel]] = {
    "The region": region.RegionSettings,
    "The rack": rack.RackSettings,
}
KINDS = {
    "parse_size": "size",
    "parse_duration": "duration",
    "le=65535": "port",
    "Path": "path",
    "tuple": "list",
    "bool": "true/false",
    "int": "number",
}
"""A sign by which a type is known, the first that fits, and what the document calls it."""


def _model_in(annotation: object) -> type[pydantic.BaseModel] | None:
    """Return the table that an annotation holds, as in ``tuple[Selection, ...] | None``."""
    if isinstance(annotation, type) and pydantic.BaseModel in annotation.__mro__:
        return annotation
    return next(filter(None, map(_model_in, typing.get_args(annotation))), None)


def _keys(
    model: type[pydantic.BaseModel], prefix: str = ""
) -> Iterator[tuple[str, fields.FieldInfo]]:
    for field in model.model_fields.values():
        inner = _model_in(field.annotation)
        if inner is None:
            yield f"{prefix}{field.alias}", field
        else:
            yield from _keys(inner, f"{prefix}{field.alias}.")


def _documented(chapter: str) -> list[list[str]]:
    return documents.rows(documents.sections(TEXT, 2)[chapter])


def _cells(chapter: str, key: str) -> tuple[str, str, str]:
    """Return kind, default and example of a key."""
    (row,) = (row for row in _documented(chapter) if documents.code(row[0]) == key)
    return row[1], row[2], row[4]


def _accepted(field: fields.FieldInfo, cell: str) -> object:
    """Return what the code makes of the TOML value in a cell."""
    value = tomllib.loads(f"value = {documents.code(cell)}")["value"]
    if _kind(field) == "path":
        # That the file is there would be checked as well.
        return pathlib.Path(value)
    # The remark at the end is there because Annotated wants one.
    annotated: typing.Any = typing.Annotated[(field.annotation, *field.metadata, "documented")]
    return pydantic.TypeAdapter(annotated).validate_python(value)


def _kind(field: fields.FieldInfo) -> str:
    signs = f"{field.annotation} {field.metadata}"
    return next((kind for sign, kind in KINDS.items() if sign in signs), "text")


EVERY_KEY = pytest.mark.parametrize(
    ("chapter", "key", "field"),
    [
        pytest.param(chapter, key, field, id=f"{chapter}: {key}")
        for chapter, model in CHAPTERS.items()
        for key, field in _keys(model)
    ],
)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_key_is_documented_once_and_no_other(chapter: str) -> None:
    documented = sorted(documents.code(row[0]) for row in _documented(chapter))
    assert documented == sorted(key for key, _ in _keys(CHAPTERS[chapter]))


@EVERY_KEY
def test_the_kind_of_a_key_is_right(chapter: str, key: str, field: fields.FieldInfo) -> None:
    assert _cells(chapter, key)[0] == _kind(field)


@EVERY_KEY
def test_the_default_of_a_key_is_right(chapter: str, key: str, field: fields.FieldInfo) -> None:
    default = _cells(chapter, key)[1]
    if default == "*required*":
        assert field.is_required()
    elif default == "–":
        assert field.default is None
    else:
        assert _accepted(field, default) == field.default


@EVERY_KEY
def test_the_example_of_a_key_is_accepted(chapter: str, key: str, field: fields.FieldInfo) -> None:
    assert _accepted(field, _cells(chapter, key)[2]) is not None


def _examples() -> list[str]:
    names = ("docs/configuration.md", "docs/getting-started.md")
    return [block for name in names for block in documents.blocks(documents.read(name), "toml")]


@pytest.mark.parametrize("example", _examples())
def test_an_example_of_a_whole_file_loads(example: str, tmp_path: pathlib.Path) -> None:
    there = tmp_path / "file"
    there.touch()
    # The files that an example names, or has by default, are on the reader's host.
    named = re.sub(r'"/(?:etc|usr)/[^"]+"', f'"{there}"', example)
    for key in {"authority", "members"} - set(tomllib.loads(named)["plane"]):
        named = named.replace("[plane]\n", f'[plane]\n{key} = "{there}"\n')
    path = tmp_path / "settings.toml"
    path.write_text(named)
    files.load(path)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_example_of_a_whole_file_has_every_table(chapter: str) -> None:
    (example,) = documents.blocks(documents.sections(TEXT, 2)[chapter], "toml")
    known = {field.alias for field in CHAPTERS[chapter].model_fields.values()}
    assert set(tomllib.loads(example)) == known
