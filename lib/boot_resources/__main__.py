"""``python -m boot_resources``: the command, for those who start it by module."""

from boot_resources.cli import main

main.main()
