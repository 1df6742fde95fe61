"""Speed and memory, measured beside peers in the same run, quoted as ratios.

``hits``   a warm rack against nginx serving the same files
``storm``  a cold rack against nginx's and Varnish's caches, over one slow link

Everything runs on loopback. A peer that is not installed is left out, and named.
"""
