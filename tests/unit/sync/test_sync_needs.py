"""What the catalog dropped on purpose is told from what it never needed."""

from boot_resources.sync import needs


def test_what_was_needed_once_was_dropped_on_purpose_and_nothing_else() -> None:
    catalog = needs.Needs()
    catalog.look(3, {"a", "b"})
    catalog.look(4, {"b", "c"})
    assert [catalog.had(each) for each in "abcd"] == [True, True, True, False]


def test_what_a_catalog_needed_before_it_was_set_back_it_need_not_have_dropped() -> None:
    catalog = needs.Needs()
    catalog.look(7, {"old", "new"})
    catalog.look(5, {"old"})
    assert catalog.had("old")
    assert not catalog.had("new")
