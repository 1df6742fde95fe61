"""The one-time export of images out of a MAAS database.

Nothing in that database is changed until an operator orders the end of it (``finish``).

``database``   a MAAS database, opened to be read and nothing else
``sessions``   one worker's connection, which comes back when it is lost
``clients``    who else is connected
``schema``     which MAAS left it
``inventory``  what is there, as one moment of the database shows it
``contents``   what of it is whole, and what is wrong with the rest
``readers``    the two ways to the bytes of a large object, and who may go which
``pages``      the pages of a large object as PostgreSQL's COPY sends them
``export``     large objects become objects of the store
``progress``   how far an export is
``naming``     how MAAS's images are called here
``arrival``    MAAS's images become images of the catalog
``outcome``    whether all of it is accounted for
``preflight``  would it fit, and work
``turns``      one region exports at a time
``handover``   all of the above, one after another
``removal``    images leave a MAAS database: the one part that changes it
``finish``     that, once all of them are proved on disk
"""
