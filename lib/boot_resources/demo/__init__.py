"""Everything on one machine: a signed source of its own, controllers, machines, and a count.

Tests of every room build on the parts of it: ``signed_source`` makes a source, ``origin`` serves
it and counts what it sends.
"""
