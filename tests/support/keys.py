"""Signing keys for the tests of everything that verifies."""

import dataclasses
import datetime
from collections.abc import Iterator

from boot_resources.demo import signing
from boot_resources.source import keyring

LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


@dataclasses.dataclass(frozen=True)
class Keys:
    """Fingerprints in ``chain``; ``ring`` holds all of them but ``stranger``.

    ``expired`` was good in January 2020.
    """

    chain: signing.Keychain
    good: str
    second: str
    stranger: str
    expired: str
    ring: keyring.Keyring

    def sign(self, *signers: str, payload: bytes, at: datetime.datetime | None = None) -> bytes:
        """Return ``payload`` clear-signed."""
        return self.chain.clear_sign(payload, signers, at=at)


def make() -> Iterator[Keys]:
    """Yield the keys, and remove them afterwards."""
    with signing.Keychain() as chain:
        good, second, stranger = (chain.new_key(name) for name in ("good", "second", "stranger"))
        month = datetime.timedelta(days=30)
        expired = chain.new_key("expired", created=LONG_AGO, lifetime=month)
        ring = keyring.Keyring(chain.export([good, second, expired]))
        yield Keys(chain, good, second, stranger, expired, ring)
