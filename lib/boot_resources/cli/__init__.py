"""The ``boot-resources`` command, one module a group of commands.

``main`` finds the group that was asked for and loads nothing else, so that a rack's installation
needs no database library. ``output`` says things to people or to programs, ``controllers`` finds
the controller that a command means.
"""
