"""JSON as Windlass writes it, and the tags that name a version of it."""

import hashlib

import orjson

TAG_BYTES = 16


def to_json(value):
    """Return a value as JSON bytes: UTF-8, compact, keys sorted, so that equal values give equal bytes.

    Raises TypeError for what JSON cannot hold; a `Secret` is such a value on purpose.
    """
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_SUBCLASS)


def from_json(data):
    """Return the value of JSON text or bytes; raises ValueError (orjson.JSONDecodeError) for anything else."""
    return orjson.loads(data)


def tag_of(body):
    """Return the entity tag of an answer's bytes, quotes included (RFC 9110, section 8.8.3)."""
    return f'"{hashlib.blake2b(body, digest_size=TAG_BYTES).hexdigest()}"'
