"""The migration's two readers beside psql and MAAS's own way, out of one PostgreSQL.

``python -m benchmarks.migration [--size SIZE] [--rounds N] [--json FILE]``

The large objects have the sizes of real images and hold noise. In each round every way has its
turn, so that what else happens on the host meets all of them; ratios are taken within a round.
"""
