"""What most tests stand on: settings in a folder of their own, the database (both kinds), the application, a client.

database        the models on an empty, migrated database: SQLite or PostgreSQL, or one after the other (selection.py)
administrator   the first administrator as an Actor; their token is ADMIN_TOKEN
api             a client that calls as the administrator; `anonymous` calls as nobody
"""

import shutil
import signal
import sys

import hypothesis
import pytest

import config
import secretbox
from tests.client import ApiClient
from tests.fleet.fixtures import fleet, fleet_factory, host, postgresql_url, redis_url

pytest_plugins = ("tests.faults.table", "tests.selection")
__all__ = ["fleet", "fleet_factory", "host", "postgresql_url", "redis_url"]
ADMIN_TOKEN = "the-administrators-token-in-tests"

# A run that a script puts in the background ignores Ctrl-C, and so would every process in which a test presses it.
signal.signal(signal.SIGINT, signal.default_int_handler)
# How quick an example is, or is made, tells about the machine and not about Windlass.
hypothesis.settings.register_profile("windlass", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("windlass")
LOG_LINES = 60  # Of each log of a Windlass on which a test failed.
# Tests on hosts, which wait most of their time.
WAITING = ("faults", "deploying", "foreign", "bench", "fleet", "lib/remote")

# The files of them that take minutes.
LONGEST = (
    "tests/faults/test_killed.py",
    "tests/deploying/test_story_faults.py",
    "tests/deploying/test_prepare.py",
    "tests/deploying/test_story.py",
    "tests/faults/test_workers.py",
    "tests/deploying/test_real_applications.py",
    "tests/deploying/test_fleet_of_five.py",
    "tests/faults/test_rabbitmq.py",
)


def pytest_collection_modifyitems(config, items):
    """Mix, in a run by several processes, the files that wait with those that compute, so that no core idles.

    Those that wait take the longest; they come in the first four fifths, the longest of all first, or one process would end
    alone.
    """
    if not hasattr(config, "workerinput"):
        return
    paths = list(dict.fromkeys(item.nodeid.partition("::")[0] for item in items))
    waiting = [path for folder in WAITING for path in paths if path.startswith(f"tests/{folder}/")]
    waiting.sort(key=lambda path: LONGEST.index(path) if path in LONGEST else len(LONGEST))
    others = [path for path in paths if path not in waiting]
    places = {path: 0.8 * number / len(waiting) for number, path in enumerate(waiting)}
    places |= {path: number / len(others) for number, path in enumerate(others)}
    items.sort(key=lambda item: places[item.nodeid.partition("::")[0]])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that fails on a running Windlass shows what its processes logged last."""
    report = yield
    stack = item.funcargs.get("stack") if report.failed and hasattr(item, "funcargs") else None
    for log in sorted((stack.data / "log").glob("*.log")) if hasattr(stack, "data") else ():
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        report.sections.append((f"end of {log.name}", "\n".join(lines)))
    return report


@pytest.fixture
def settings(tmp_path):
    """The settings' defaults, with all data in the test's own folder; a test may change them as it likes."""
    loaded = config.load(environ={"WINDLASS_DATA": str(tmp_path / "data"), "WINDLASS_ADMIN_TOKEN": ADMIN_TOKEN})
    (tmp_path / "data").mkdir()
    forget_what_depends_on_settings()
    yield loaded
    forget_what_depends_on_settings()


def forget_what_depends_on_settings():
    """Empty what the process keeps of settings and answers; a module that no test has imported keeps nothing."""
    secretbox.box_of.cache_clear()
    queue = sys.modules.get("controllers.jobs.queue")
    if queue:
        queue.celery.cache_clear()
    decorators = sys.modules.get("utils.decorators")
    for answers in decorators.CACHES if decorators else ():
        answers.clear()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory):
    """A migrated, empty SQLite file to copy: quicker than migrating for each test."""
    from models import db

    path = tmp_path_factory.mktemp("sqlite") / "windlass.db"
    opened = db.connect_to(f"sqlite:///{path}")
    db.migrate()
    opened.close_all()
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_url):
    """The URL of a migrated PostgreSQL database; each test that uses it empties the tables."""
    from models import db

    opened = db.connect_to(postgresql_url)
    db.migrate()
    opened.close_all()
    return postgresql_url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, settings):
    """The models on an empty, migrated database."""
    yield from opened_database(request, settings, request.param)


def opened_database(request, settings, kind):
    """Yield the models' empty, migrated database of a kind, and close it afterwards; for fixtures."""
    from models import MODELS, db

    if kind == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), f"{settings.data}/windlass.db")
    else:
        settings.database.url = request.getfixturevalue("migrated_postgresql")
    opened = db.connect_to(settings.database.url)
    if kind == "postgresql":
        opened.execute_sql(emptying([model._meta.table_name for model in MODELS]))
        opened.close()
    yield opened
    db.release()
    opened.close_all()


def emptying(tables):
    """Return the SQL that empties PostgreSQL's tables and lets their ids begin anew, in one go and one transaction.

    TRUNCATE makes new files for all tables and indexes, and takes many times as long as a DELETE of the few rows of a test.
    As a replica, PostgreSQL does not look at foreign keys, and so the tables come in any order.
    """
    counters = ", ".join(f"'{table}_id_seq'" for table in tables)
    statements = [
        "SET LOCAL session_replication_role = replica",
        *(f'DELETE FROM "{table}"' for table in tables),
        "SELECT setval(quote_ident(sequencename)::regclass, start_value, false)"
        f" FROM pg_sequences WHERE sequencename IN ({counters}) AND last_value IS NOT NULL",
    ]
    return "; ".join(statements)


@pytest.fixture(scope="session")
def application():
    """The WSGI application as app.py makes it; which database it uses is up to `database`."""
    import api
    import routes
    from api.envelope import Envelope

    api.load()
    routes.mount(api.site)
    return Envelope(api.site)


@pytest.fixture
def administrator(database):
    """The first administrator."""
    from controllers import system
    from controllers.access import sessions

    system.ensure_administrator(ADMIN_TOKEN)
    return sessions.by_token(ADMIN_TOKEN)


@pytest.fixture
def api(application, administrator):
    """A client that calls as the administrator."""
    return ApiClient(application, ADMIN_TOKEN)


@pytest.fixture
def anonymous(application, database):
    """A client that calls as nobody."""
    return ApiClient(application)
