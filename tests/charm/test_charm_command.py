"""The command, with programs in place of the engine: what it says, and what becomes of that."""

import json
import os
from pathlib import Path

import pytest

from boot_resources_charms import command, failures


def _saying(tmp_path: Path, script: str) -> command.Command:
    """Return the command of an engine that is this shell script."""
    launcher = tmp_path / "boot-resources"
    launcher.write_text(f"#!/bin/sh\n{script}\n")
    launcher.chmod(0o755)
    return command.Command(launcher, tmp_path / "region.toml")


def test_it_is_asked_for_one_document_of_the_units_own_settings(tmp_path: Path) -> None:
    asked = _saying(tmp_path, """printf '{"line": "%s"}' "$*" """)
    found = asked.ask("images", "show", "ubuntu/amd64")
    assert found == {"line": f"images show ubuntu/amd64 --json --settings {tmp_path}/region.toml"}


def test_of_a_list_with_one_status_it_gives_that_one(tmp_path: Path) -> None:
    assert _saying(tmp_path, """echo '[{"name": "region-0"}]'""").ask("status") == {
        "name": "region-0"
    }


def test_a_refusal_has_its_words_its_cure_and_its_status(tmp_path: Path) -> None:
    refusal = json.dumps({"error": "no space", "cure": "make room"})
    with pytest.raises(failures.CommandFailed, match=r"^no space$") as failed:
        _saying(tmp_path, f"echo '{refusal}'; exit 1").ask("sync")
    assert (failed.value.cure, failed.value.status) == ("make room", 1)


def test_a_refusal_in_a_list_is_one(tmp_path: Path) -> None:
    refusal = json.dumps([{"error": "it does not answer", "cure": "start it"}])
    with pytest.raises(failures.CommandFailed, match="does not answer") as failed:
        _saying(tmp_path, f"echo '{refusal}'; exit 3").ask("status")
    assert failed.value.status == 3


def test_a_check_that_found_something_is_a_document(tmp_path: Path) -> None:
    found = _saying(tmp_path, """echo '{"findings": ["rot"]}'; exit 4""").ask("verify")
    assert found == {"findings": ["rot"]}


def test_of_a_traceback_only_the_last_line_is_said(tmp_path: Path) -> None:
    script = (
        "printf 'Traceback (most recent call last):\\n  File x\\nImportError: no uvloop\\n' >&2"
    )
    with pytest.raises(failures.CommandFailed) as failed:
        _saying(tmp_path, f"{script}; exit 1").ask("region", "check")
    assert str(failed.value) == "ImportError: no uvloop"


def test_silence_is_a_failure_that_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(failures.CommandFailed, match="sync ended with status -9") as failed:
        _saying(tmp_path, "kill -9 $$").ask("sync")
    assert failed.value.status == -9


def test_a_command_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    absent = command.Command(tmp_path / "nothing", tmp_path / "region.toml")
    with pytest.raises(failures.CommandFailed, match="No such file"):
        absent.ask("status")
    with pytest.raises(failures.CommandFailed, match="No such file"):
        list(absent.follow("sync"))


def test_nothing_of_a_hooks_environment_reaches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUJU_CONTEXT_ID", "region/0-config-changed")
    monkeypatch.setenv("BOOT_RESOURCES_SETTINGS", "/of/another")
    lines = list(_saying(tmp_path, "env").follow("sync"))
    assert not any(line.startswith(("JUJU", "BOOT")) for line in lines)
    assert "LANG=C.UTF-8" in lines


def test_lines_come_while_it_runs(tmp_path: Path) -> None:
    # It ends only when the first line was read.
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    lines = _saying(tmp_path, f"echo 10 % >&2; cat {pipe}; echo done").follow("sync")
    assert next(lines) == "10 %"
    pipe.write_text("released\n")
    assert list(lines) == ["released", "done"]


def test_what_ends_badly_fails_after_its_last_line(tmp_path: Path) -> None:
    script = "echo 10 %; echo 'error: no space' >&2; echo '  cure: make room' >&2; exit 1"
    lines = _saying(tmp_path, script).follow("sync")
    assert [next(lines), next(lines), next(lines)] == [
        "10 %",
        "error: no space",
        "  cure: make room",
    ]
    with pytest.raises(failures.CommandFailed, match=r"^no space$") as failed:
        next(lines)
    assert (failed.value.cure, failed.value.status) == ("make room", 1)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], ("", "")),
        (["10 %", "info: nothing is selected", "  cure: select images"], ("", "")),
        (["Traceback (most recent call last):", "  File", "OSError: gone"], ("OSError: gone", "")),
        (["error: a", "error: b", "  cure: c"], ("a; b", "c")),
        (["error: a", "error: a"], ("a", "")),
        (["error: old", "  cure: old", "starting", "error: new"], ("new", "")),
        (["error: a", "  cure: c", "stopping"], ("a", "c")),
        (["Traceback (most recent call last):", "x" * 1000], ("x" * 300, "")),
    ],
)
def test_of_all_lines_the_last_refusal_counts(lines: list[str], words: tuple[str, str]) -> None:
    assert command.refusal(lines) == words


def test_results_are_what_is_neither_progress_nor_remark_nor_cure() -> None:
    lines = [
        "syncing 50 % of 2 B",
        " 10 % of 2 B",
        "removing: 1 of 3 large objects",
        "giving the space back",
        "2 objects brought, 2 B from upstream",
        "warning: 404 (since 2026-11-22T05:00:00+00:00, region-0)",
        "  cure: check its URL",
        "",
        "in the way: MAAS is connected",
        "0a1b  corrupt: 3 of 4 blocks",
    ]
    assert command.results(lines) == (
        "2 objects brought, 2 B from upstream",
        "0a1b  corrupt: 3 of 4 blocks",
    )
