"""The sums of an inventory, held against adding up."""

from hypothesis import given
from hypothesis import strategies as st

from boot_resources.rack import inventory

ENTRIES = st.builds(inventory.Entry, st.integers(0, 100), st.booleans())
ACTIONS = st.lists(st.tuples(st.sampled_from("abcd"), st.none() | ENTRIES))


@given(ACTIONS)
def test_the_sums_are_those_of_the_entries(
    actions: list[tuple[str, inventory.Entry | None]],
) -> None:
    tested, model = inventory.Inventory(), dict[str, inventory.Entry]()
    for name, entry in actions:
        if entry is None:
            tested.remove(name)
            model.pop(name, None)
        else:
            tested.put(name, entry)
            model[name] = entry
        assert tested.space == sum(each.space for each in model.values())
        assert tested.whole == sum(each.whole for each in model.values())
        assert {name: tested[name] for name in tested} == model
        assert len(tested) == len(model)
        assert [tested.space_of(name) for name in "abcd"] == [
            model[name].space if name in model else 0 for name in "abcd"
        ]
