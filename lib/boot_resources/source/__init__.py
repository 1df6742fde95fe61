"""Read a signed simplestreams source: fetch, verify, parse, select.

The order of a reading is one way only, and ``reading`` keeps it::

    fetch      bytes from a server that is not trusted, within limits
    keyring    what gpg says that a key of this source's keyring has signed, and nothing else
    guard      is it older than what was accepted, or dated ahead of this host
    stream     the signed bytes as frozen values; whatever does not fit refuses the document
    select     which images an operator's selections want of it

Nothing here knows a database or a disk layout: what was accepted before comes in as a value, and
what is accepted now goes out as one.
"""
