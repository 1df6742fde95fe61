"""The one-time export of images out of a MAAS database.

Nothing in that database is changed until an operator orders the end of it (``finish``).

``database``   a MAAS database, opened to be read and nothing else
``severing``   connections end with a run, whether or not the server answers
``sessions``   one worker's connection, which comes back when it is lost
``clients``    who else is connected
``schema``     which MAAS left it
``inventory``  what is there, as one moment of the database shows it
``contents``   what of it is whole, and what is wrong with the rest
``readers``    the two ways to the bytes of a large object, and who may go which
``copystream`` the stream of PostgreSQL's COPY: rows of fields, out of messages
``pages``      the pages of a large object become blocks
``export``     large objects become objects of the store
``progress``   how far an export is
``naming``     how MAAS's images are called here
``arrival``    MAAS's images become images of the catalog
``parting``    what this cluster parted with since it came
``outcome``    whether all of it is accounted for
``preflight``  would it fit, and work
``turns``      one region exports at a time
``handover``   all of the above, one after another
``removal``    images leave a MAAS database: the one part that changes it
``reclaim``    the space that they took comes back
``mended``     what was given up and can be had again
``finish``     images leave, once all of them are proved on disk
"""
