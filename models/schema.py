"""Whether the database has the schema that these models need; one that another version of Windlass made may not.

It is compared with the models themselves: the names of the migrations that made it cannot tell all, because a first schema
that was changed before its release keeps its name.
"""

from playhouse.schema_diff import diff_models

from models import MODELS

MOST_SHOWN = 3
UNKNOWN_IN_SQLITE = ("no such table", "no such column", "has no column named")
UNKNOWN_IN_POSTGRESQL = ("42P01", "42703")  # undefined_table, undefined_column (PostgreSQL, Appendix A).


class SchemaMisfit(Exception):
    """The database belongs to another version of Windlass; the message says what does not fit, and what to do."""

    def __init__(self, database, differences):
        shown = "; ".join(differences[:MOST_SHOWN])
        more = f"; and {len(differences) - MOST_SHOWN} more" if len(differences) > MOST_SHOWN else ""
        super().__init__(
            f"The database {database.database} was made by another version of Windlass: {shown}{more}. Start the version that "
            "made it; or leave it where it is and begin anew with another data folder (the setting data, --data of dev.py) "
            "or another database (the setting database.url)."
        )


def refuse_unknown_migrations(runner):
    """Raise SchemaMisfit when migrations were applied that this version does not have; `runner` is playhouse's Runner."""
    unknown = [migration.name for migration in runner.status() if migration.path is None]
    if unknown:
        raise SchemaMisfit(runner.database, [f"its migration {name} is not known here" for name in unknown])


def refuse_misfit(database):
    """Raise SchemaMisfit unless the database has all tables and columns of the models, and demands no other values."""
    differences = list(differences_of(database))
    if differences:
        raise SchemaMisfit(database, differences)


def differences_of(database):
    """Yield sentences on what does not fit. What does no harm (another index, an optional column) is left alone."""
    found = diff_models(database, MODELS)
    for model in found.create_tables:
        yield f"there is no table {model._meta.table_name}"
    for field in found.add_columns:
        yield f"table {field.model._meta.table_name} has no column {field.column_name}"
    for index in found.add_indexes:
        if index.unique:
            yield f"table {index.table} does not keep {', '.join(index.columns)} unique"
    for table, name in found.drop_columns:
        column = next(column for column in database.get_columns(table) if column.name == name)
        if not column.null and column.default is None:
            yield f"table {table} demands a value for {name}, which is not known here"


def is_misfit(error):
    """Say whether a driver's error, as peewee passes it on, means that a table or a column is not there."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    return state in UNKNOWN_IN_POSTGRESQL or any(words in str(error) for words in UNKNOWN_IN_SQLITE)
