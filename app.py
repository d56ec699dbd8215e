"""The web server's WSGI application: `gunicorn -c etc/gunicorn.conf.py app:application`.

Importing it starts the server's part of Windlass: configuration, logging, database, first administrator.
"""

from controllers import system

system.start()

import api  # noqa: E402  (after the configuration)
import routes  # noqa: E402
from api.envelope import Envelope  # noqa: E402

api.load()
routes.mount(api.site)
application = Envelope(api.site)
