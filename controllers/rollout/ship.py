"""Send a tree of the content store to a host: its manifest first, then only the files the host lacks.

The store keeps every file compressed, so the controller compresses nothing here; it passes bytes on.
"""

import zlib

import store

READ_BYTES = 256 * 1024


def manifest_frames(digest):
    """Yield the compressed manifest of a tree."""
    yield zlib.compress(store.manifest_bytes(digest), 6)


def file_frames(entries):
    """Yield the files of manifest entries, each as an 8-byte big-endian length and its compressed bytes, in large frames."""
    held = bytearray()
    for entry in entries:
        path = store.object_path(entry[3])
        with open(path, "rb") as file:
            held += path.stat().st_size.to_bytes(8, "big")
            while chunk := file.read(READ_BYTES):
                held += chunk
                if len(held) >= READ_BYTES:
                    yield bytes(held)
                    held.clear()
    if held:
        yield bytes(held)


def ship(session, kind, name, digest, on_event, timeout_s, **fields):
    """Bring a tree to the host as `name`; returns how many files were sent. Raises AgentError and ConnectionLost."""
    answer = session.request(
        "ship",
        blobs=manifest_frames(digest),
        on_event=on_event,
        timeout_s=timeout_s,
        kind=kind,
        name=name,
        digest=digest,
        **fields,
    )
    if answer["complete"]:
        return 0
    manifest = store.manifest(digest)
    lacking = [manifest[index] for index in answer["lacks"]]
    session.request("files", blobs=file_frames(lacking), on_event=on_event, timeout_s=timeout_s)
    return len(lacking)
