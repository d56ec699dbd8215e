"""Celery tasks: the declared kinds of work, registered by subject. Each may come late, twice or never (see lib/broker.py).

What a task is called and what it runs is declared where the work is done (controllers/jobs/kinds.py); it is given an id only.
"""

import importlib
import pkgutil

for found in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(found.name)
