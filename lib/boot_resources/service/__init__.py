"""What every long-running process needs: an HTTP answer, a life cycle, a local socket, metrics.

``ranges``     which bytes of an object a request asks for (RFC 9110)
``sending``    those bytes onto a connection
``ports``      listen, or say who holds the port
``doors``      how one comes in by a port, and for how long
``places``     how many may come in, and who leaves where all places are taken
``refusals``   who was turned away: counted, logged, noticed
``control``    the local socket on which the command talks to a controller
``local``      the other end of that socket
``lifecycle``  start, READY=1, SIGTERM, a clean stop
``logs``       one line for each record, whatever a stranger wrote
``monitoring`` the metrics port

Nothing here knows what a region or a rack is.
"""
