"""Speed and memory, measured beside peers in the same run, quoted as ratios.

``hits``   a warm rack against nginx serving the same files
``storm``  a cold rack against nginx's and Varnish's caches, over one slow link

``migration``, a program of its own, measures the migration's readers beside psql.

Everything runs on loopback. A peer that is not installed is left out, and named.
"""
