#!/usr/bin/env python3
"""Files by WebDAV (RFC 4918), by the PyPI packages wsgidav and cheroot.

  dav.py FOLDER    serves it, for everybody to change, and prints its port
"""

import sys

from cheroot import wsgi
from wsgidav.wsgidav_app import WsgiDAVApp

config = {
    "provider_mapping": {"/": {"root": sys.argv[1], "readonly": False}},
    "simple_dc": {"user_mapping": {"*": True}},
    "verbose": 0,
}
server = wsgi.Server(("127.0.0.1", 0), WsgiDAVApp(config))
server.prepare()
print(server.bind_addr[1], flush=True)
server.serve()
