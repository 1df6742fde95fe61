"""Debian packages and system users: the one place that knows charmhelpers.

charmhelpers refuses to be imported anywhere but on Ubuntu, and looks at the machine when it is.
So it is imported when a verb needs it, and whoever tests the charms gives another ``Host``.
"""

import grp
import pwd
import subprocess
from collections.abc import Sequence

from . import debian, failures, files

_PATIENCE = "--option=DPkg::Lock::Timeout=300"
"""Another apt-get may be at work: a new machine upgrades itself in its first minutes (seconds)."""


class Host:
    """What a machine has besides files. Every verb says whether it changed anything.

    Attributes:
        root: who owns what is the machine's; a test is not root.
    """

    root = files.Owner(0, 0)

    def ensure_packages(self, names: Sequence[str]) -> bool:
        """Install the Debian packages that are missing.

        Raises:
            failures.InstallFailed: they are still missing afterwards.
        """
        missing = self._missing(names)
        if not missing:
            return False
        from charmhelpers import fetch

        cure = (
            f"see `apt-get install {' '.join(missing)}` on the machine, and whether it reaches "
            "its package archive (the model's apt-http-proxy); the next hook tries again"
        )
        with failures.installing(f"install {', '.join(missing)}", cure):
            # The first try spares a machine the reading of package lists; where it has none, or
            # old ones, the second has new ones.
            fetch.apt_install(missing, options=[_PATIENCE])
            if self._missing(missing):
                fetch.apt_update()
                fetch.apt_install(missing, options=[_PATIENCE])
        still = self._missing(missing)
        if still:
            raise failures.InstallFailed(f"apt-get could not install {', '.join(still)}", cure)
        return True

    def ensure_user(self, name: str, home: str) -> bool:
        """Make a system user with a group of the same name, if there is none.

        Raises:
            failures.InstallFailed: useradd refuses.
        """
        if self._is_user(name):
            return False
        from charmhelpers.core import host

        with failures.installing(f"make the user {name}", "see useradd(8) on the machine"):
            host.add_group(name, system_group=True)
            host.adduser(name, system_user=True, primary_group=name, home_dir=home)
        return True

    def owner(self, name: str) -> files.Owner:
        """Return that user and the group of the same name, by number.

        Raises:
            failures.InstallFailed: there is no such user or group.
        """
        try:
            return files.Owner(pwd.getpwnam(name).pw_uid, grp.getgrnam(name).gr_gid)
        except KeyError:
            raise failures.InstallFailed(
                f"the user {name} is not on this machine", "the next hook makes it again"
            ) from None

    def remove_user(self, name: str) -> bool:
        """Remove a user with its group; its home stays.

        Raises:
            failures.InstallFailed: userdel refuses, for example while a process of it runs.
        """
        if not self._is_user(name):
            return False
        with failures.installing(f"remove the user {name}", "end its processes"):
            # userdel takes the group of the same name along; charmhelpers has no word for it.
            subprocess.run(["userdel", name], check=True, capture_output=True, text=True)
        return True

    def _missing(self, names: Sequence[str]) -> list[str]:
        """Return the packages that are not installed."""
        # Asked of dpkg itself: charmhelpers would ask apt, too, and fails where that has no lists.
        there = debian.installed(names) if names else []
        return [name for name in names if name not in there]

    def _is_user(self, name: str) -> bool:
        try:
            pwd.getpwnam(name)
        except KeyError:
            return False
        return True
