"""Work on URLs: query strings read strictly, paths filled in safely."""

from urllib.parse import parse_qsl, quote, urlencode

MOST_PARAMETERS = 100


def query_pairs(query_string):
    """Return a query string as a list of (name, value); raises ValueError for bad UTF-8 or too many parameters."""
    return parse_qsl(query_string, keep_blank_values=True, errors="strict", max_num_fields=MOST_PARAMETERS)


def fill_path(template, values):
    """Return a path template such as "/hosts/{name}" with each value percent-encoded, slashes included."""
    return template.format_map({name: quote(str(value), safe="") for name, value in values.items()})


def with_parameter(path, query_string, name, value):
    """Return a path and query string in which one parameter has a new value."""
    pairs = [(key, old) for key, old in query_pairs(query_string) if key != name]
    return f"{path}?{urlencode([*pairs, (name, value)])}"
