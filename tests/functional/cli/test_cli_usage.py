"""Wrong usage of every kind: a line that says what is wrong, a status, never a traceback."""

import json
from pathlib import Path

import pytest

from boot_resources import errors
from support import command

COMMANDS = [
    ("ca",), ("ca", "create"), ("ca", "issue"), ("ca", "list"), ("ca", "remove"),
    ("cache",), ("cache", "status"), ("cache", "drop"),
    ("demo",),
    ("images",), ("images", "list"), ("images", "show"), ("images", "remove"),
    ("rack",), ("rack", "run"), ("rack", "check"),
    ("region",), ("region", "run"), ("region", "check"),
    ("selections",), ("selections", "list"), ("selections", "add"), ("selections", "remove"),
    ("sources",), ("sources", "show"), ("sources", "set"), ("sources", "check"),
    ("status",), ("sync",), ("verify",),
]  # fmt: skip
TALKING = [words for words in COMMANDS if words[0] not in ("ca", "demo") and len(words) == 2]
RUNNING = [("rack", "run"), ("rack", "check"), ("region", "run"), ("region", "check")]


@pytest.mark.parametrize("words", [(), *COMMANDS])
def test_every_command_explains_itself(words: tuple[str, ...]) -> None:
    done = command.run(*words, "--help")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(" ".join(("Usage: boot-resources", *words)))
    assert "\\b" not in done.out


def test_the_help_documents_the_exit_statuses() -> None:
    told = " ".join(command.run("--help").out.split())
    assert "Exit status: 0 done; 1 refused or failed; 2 wrong command line or settings;" in told


def test_the_version_is_told() -> None:
    assert command.run("--version").out.startswith("boot-resources, version ")


@pytest.mark.parametrize("words", COMMANDS)
def test_an_unknown_option_is_a_2(words: tuple[str, ...]) -> None:
    done = command.run(*words, "--no-such-option")
    assert (done.status, done.out) == (errors.EXIT_USAGE, "")
    assert "--no-such-option" in done.err
    spoken = command.run(*words, "--no-such-option", "--json")
    assert (spoken.status, spoken.err) == (errors.EXIT_USAGE, "")
    assert "--no-such-option" in spoken.document["error"]


@pytest.mark.parametrize("words", [("nonsense",), ("images", "nonsense"), ("",), ("--",)])
def test_an_unknown_command_is_a_2(words: tuple[str, ...]) -> None:
    done = command.run(*words)
    assert (done.status, done.out) == (errors.EXIT_USAGE, "")


def write(file: Path, text: str | bytes) -> Path:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("controller = ", "this is not TOML"),
        (b"\xff\xfe\x00", "this is not TOML"),
        ("", "say which this file is for"),
        ('controller = "kettle"', "say which this file is for"),
        ("controller = 5", "say which this file is for"),
        ("controller = [1]", "say which this file is for"),
    ],
)
@pytest.mark.parametrize("words", [("status",), ("images", "list"), *RUNNING])
def test_a_settings_file_that_is_none_is_a_2(
    tmp_path: Path, words: tuple[str, ...], text: str | bytes, said: str
) -> None:
    file = write(tmp_path / "settings.toml", text)
    done = command.run(*words, "--settings", file)
    assert (done.status, done.out) == (errors.EXIT_USAGE, "")
    assert said in done.err
    assert str(file) in done.err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('[cache]\nsize = "4GG"', "cache.size: '4GG' is not a size"),
        ('[cache]\nsizze = "4G"', "cache.sizze: unknown key"),
        ("[http]\nport = 99999", "http.port"),
        ('[plane]\nkey = "/no/such/file"', "plane.key: cannot read /no/such/file"),
        ('regions = ["nowhere"]', "'nowhere'"),
        ("regions = []", "regions"),
        ('name = "Not A Name"', "name"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(tmp_path: Path, line: str, said: str) -> None:
    file = write(tmp_path / "rack.toml", f'controller = "rack"\n{line}\n')
    for words in (("rack", "check"), ("rack", "run")):
        done = command.run(*words, "--settings", file)
        assert (done.status, done.out) == (errors.EXIT_USAGE, "")
        assert any(said in each for each in done.err.splitlines())
    spoken = command.run("rack", "check", "--settings", file, "--json")
    assert said in spoken.document["error"]


@pytest.mark.parametrize("words", [*TALKING, ("status",), ("sync",), ("verify",)])
def test_a_settings_file_that_is_not_there_is_a_2(words: tuple[str, ...]) -> None:
    extra = {"show": ["a/b/c/d/e/f"], "remove": ["a", "b"], "add": ["a", "b"], "drop": ["--all"]}
    names = (
        extra.get(words[-1], []) if words[0] == "selections" or words[-1] != "remove" else ["a"]
    )
    if words[0] == "sources":
        names = ["http://x/", "--allow-unsigned"] if words[-1] == "set" else []
    done = command.run(*words, *names, "--settings", "/no/such/file")
    assert (done.status, done.out) == (errors.EXIT_USAGE, "")
    assert "cannot read the settings file /no/such/file" in done.err


def test_without_any_settings_file_the_option_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boot_resources.settings.files.DIRECTORY", tmp_path)
    done = command.run("status")
    assert done.status == errors.EXIT_USAGE
    assert "--settings FILE" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ("--size", "4GG"),
        ("--machines", "0"),
        ("--machines", "many"),
        ("--source", "http://127.0.0.1:9/"),
        ("--keyring", "/etc/hostname"),
        ("--source", "http://127.0.0.1:9/", "--keyring", "/etc/hostname"),
        ("--select", "a/b/c/d"),
        ("--keep", "--json"),
        ("--directory", "/proc/nowhere/x"),
        ("--directory", "/proc"),
    ],
)
def test_the_demo_refuses_what_it_cannot_do(words: tuple[str, ...]) -> None:
    done = command.run("demo", *words)
    assert done.status == errors.EXIT_USAGE
    assert "Traceback" not in done.err
    spoken = command.run("demo", *dict.fromkeys((*words, "--json")))
    assert spoken.status == errors.EXIT_USAGE
    assert json.loads(spoken.out)["error"]


def test_a_reader_that_has_seen_enough_hears_no_complaint() -> None:
    assert command.run_into_closed_pipe("--help") == 1
