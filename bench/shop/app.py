"""The application that bench/deploy rolls out: a small Flask shop, its start-up dominated by its imports, as usual."""

import os
from pathlib import Path

import alembic.config
import flask
import sqlalchemy

VERSION = Path(__file__).with_name("VERSION").read_text().strip()

app = flask.Flask(__name__)
engine = sqlalchemy.create_engine("sqlite://")
migrations = alembic.config.Config()


@app.get("/")
def index():
    """Say which version this is."""
    return flask.jsonify(version=VERSION, slot=os.environ.get("WINDLASS_SLOT"))


@app.get("/healthz")
def health():
    """Answer 200 when the database answers; a version named broken never does."""
    if "broken" in VERSION:
        flask.abort(503)
    with engine.connect() as connection:
        return {"database": connection.execute(sqlalchemy.text("select 1")).scalar()}
