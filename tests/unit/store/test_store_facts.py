"""The facts beside an object: they come back as they were, or they are refused."""

import dataclasses
import json

import pytest

from boot_resources import units
from boot_resources.store import facts
from support import stores

CONTENT = stores.noise()
KNOWN = facts.Facts(
    sha256=stores.name_of(CONTENT),
    block_map=stores.map_of(CONTENT),
    stamp=facts.Stamp(len(CONTENT), 1_234_567_890_123_456_789, 42),
    proved=units.utc_now(),
)


def test_facts_come_back_as_they_were() -> None:
    assert facts.Facts.from_bytes(KNOWN.to_bytes()) == KNOWN
    assert KNOWN.proof == facts.Proof(len(CONTENT), KNOWN.block_map.digest)


def test_no_damaged_byte_changes_the_block_map() -> None:
    whole = KNOWN.to_bytes()
    refused = 0
    for at in range(len(whole)):
        data = bytearray(whole)
        data[at] ^= 1
        try:
            found = facts.Facts.from_bytes(bytes(data))
        except facts.BadFacts:
            refused += 1
        else:
            assert found.block_map == KNOWN.block_map
    assert refused > len(KNOWN.block_map.to_bytes())


def test_facts_that_were_cut_anywhere_are_refused() -> None:
    whole = KNOWN.to_bytes()
    for length in range(len(whole)):
        with pytest.raises(facts.BadFacts):
            facts.Facts.from_bytes(whole[:length])


@pytest.mark.parametrize("head", ["5", "[]", "null", "{}", '{"format": 2}', "\ud800", "x"])
def test_what_was_never_facts_is_refused(head: str) -> None:
    data = head.encode(errors="surrogatepass") + b"\n" + KNOWN.block_map.to_bytes()
    with pytest.raises(facts.BadFacts):
        facts.Facts.from_bytes(data)


def test_a_map_that_is_none_is_refused_though_its_checksum_is_right() -> None:
    cut = dataclasses.replace(KNOWN).to_bytes().partition(b"\n")[0]
    head = json.loads(cut) | {"map": stores.name_of(b"no map")}
    with pytest.raises(facts.BadFacts):
        facts.Facts.from_bytes(json.dumps(head).encode() + b"\nno map")
