"""Bring a region's store to what the catalog wants. Every step can be run again at any time.

``refresh``   the leader reads the source and makes the catalog follow it
``listing``   what the source lists, selected or not
``upstream``  one object from the source into the store
``needs``     what the catalog needed once: only that was dropped on purpose
``metering``  what came from upstream, into the ledger
``wording``   what a pass says to an operator
``progress``  how far a pass is, for people who wait
``engine``    one pass: refresh, space, fetch, hold, offer, tidy
"""
