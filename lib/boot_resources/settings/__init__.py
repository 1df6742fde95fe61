"""What an operator may say: one TOML file for each controller, checked before anything starts.

``values``      the kinds of value: sizes, durations, ports, paths
``region``      the file of a region controller
``rack``        the file of a rack controller
``files``       reading them, and one clear line for everything that is wrong
``changes``     what another reading of a file changes
"""
