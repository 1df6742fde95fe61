"""What the command looks like on a terminal, and in a process of its own."""

from support import command, desks

Desk = desks.Desk


def test_on_a_terminal_there_are_tables_and_colours(desk: Desk) -> None:
    done = command.run_on_terminal("images", "list", "--settings", desk.region_file)
    assert done.status == 0
    assert "─" in done.out
    assert "\x1b[32mavailable" in done.out
    assert "\t" not in done.out


def test_on_a_terminal_a_long_check_shows_a_bar(desk: Desk) -> None:
    done = command.run_on_terminal("verify", "--settings", desk.region_file)
    assert done.status == 0
    assert "verifying" in done.out
    assert "objects are sound" in done.out


def test_on_a_terminal_json_is_json(desk: Desk) -> None:
    done = command.run_on_terminal("verify", "--json", "--settings", desk.region_file)
    assert done.document["findings"] == []


def test_a_refusal_is_red_on_a_terminal(desk: Desk) -> None:
    words = ("images", "show", "nonsense", "--settings", desk.region_file)
    done = command.run_on_terminal(*words)
    assert done.status == 2
    assert "\x1b[31merror: " in done.out


def test_to_a_pipe_there_are_plain_lines(desk: Desk) -> None:
    done = command.run_apart("images", "list", "--settings", desk.region_file)
    assert done.status == 0
    header, *lines = done.out.splitlines()
    assert header.split("\t") == ["image", "title", "state", "size", "held", "note"]
    assert len(lines) == desk.world.region.status()["images"]
    assert "\x1b" not in done.out
