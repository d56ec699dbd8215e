"""What an option takes from a file instead of the command line."""

import json

from windlass_cli.errors import WindlassError


def text_of_file(path, what):
    """Return the text of the file at ``path``; WindlassError, about ``what``, when it cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, ValueError) as error:  # a ValueError is for text that is not UTF-8, and for a path that is none
        reason = getattr(error, "strerror", None) or (
            "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
        )
        raise WindlassError(f"{what} cannot be read from {path}: {reason}.") from None


def object_of(option, text):
    """Return the JSON object that ``text`` is, or that is in the file after its ``@``; None for ``null``.

    Raises WindlassError, naming the ``option``, when it is neither.
    """
    where = option
    if text.startswith("@"):
        where = text[1:]
        text = text_of_file(where, f"The value of {option}")
    try:
        found = json.loads(text)
    except ValueError as error:
        raise WindlassError(f"What {where} holds is not JSON: {error}.", remedy=f"Give {option} as JSON or as @FILE.") from None
    if found is not None and not isinstance(found, dict):
        raise WindlassError(f"What {where} holds is no JSON object.", remedy='Give it as {"name": "value", …}.')
    return found
