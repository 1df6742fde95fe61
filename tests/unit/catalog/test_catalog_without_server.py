"""A machine without PostgreSQL skips what needs it, and says so; CI does not let it pass."""

import pytest

from support import postgres


def test_without_a_server_a_test_is_skipped_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postgres, "find_binaries", lambda: None)
    monkeypatch.delenv("REQUIRE_ALL_TIERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install postgresql"):
        postgres.running_server().__enter__()


def test_where_all_tiers_are_required_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "find_binaries", lambda: None)
    monkeypatch.setenv("REQUIRE_ALL_TIERS", "1")
    with pytest.raises(pytest.fail.Exception, match="apt-get install postgresql"):
        postgres.running_server().__enter__()
