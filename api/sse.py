"""Server-sent events: how a history becomes a stream, as the HTML standard's section 9.2 writes it."""

from utils.core import to_json

HEARTBEAT = b":\n\n"
RETRY_MS = 2000
MOST_DIGITS = 10


def as_stream(events):
    """Yield events (dicts with number and kind, or None for a heartbeat) as pieces of a stream.

    A comment as heartbeat makes the server notice that a client is gone. The source is closed when the stream is.
    """
    try:
        yield f"retry: {RETRY_MS}\n\n".encode()
        for event in events:
            yield HEARTBEAT if event is None else message(event)
    finally:
        if hasattr(events, "close"):
            events.close()


def message(event):
    """Return one event as a message; JSON has no line breaks of its own, so it is one line of data."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event["number"], event["kind"].encode(), to_json(event))


def place(header, query):
    """Return the number of the last event a client has seen: by the header Last-Event-ID, else by the query, else None.

    What no stream of ours has sent counts as nothing seen, as the standard asks for with an unknown id.
    """
    if header is not None and header.isascii() and header.isdigit() and len(header) <= MOST_DIGITS:
        return int(header)
    return query["last_event_id"]
