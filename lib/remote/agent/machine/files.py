"""Files on the host: made aside, flushed, renamed into place."""

import hashlib
import json
import os

ASIDE = ".windlass-new-"


def user_name():
    """Return the login name of the user the agent runs as, or its number."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def existing(path):
    """Return `path` or its nearest parent that exists."""
    while not os.path.lexists(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    return path


def free_space(path):
    """Return (bytes, inodes) that this user may still use on the file system of `path`; inodes None where uncounted."""
    try:
        room = os.statvfs(existing(path or "/"))
    except OSError:
        return 0, None
    return room.f_bavail * room.f_frsize, room.f_favail if room.f_files else None


def flush_folder(path):
    """Make the entries of a folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_all(handle, data):
    """Write all of `data` (bytes) to a descriptor."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def write_file(path, content, mode=0o644):
    """Put `content` (str or bytes) in place of `path` in one step, with exactly this mode."""
    content = content.encode() if isinstance(content, str) else content
    aside = os.path.join(os.path.dirname(path), ASIDE + os.path.basename(path))
    try:
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            os.fchmod(handle, mode)
            write_all(handle, content)
            os.fsync(handle)
        finally:
            os.close(handle)
        os.rename(aside, path)
    except OSError as error:
        discard(aside)
        raise OSError(error.errno, error.strerror, path) from None
    flush_folder(os.path.dirname(path))


def write_json(path, value, mode=0o600):
    """Put a JSON document in place of `path` in one step."""
    write_file(path, json.dumps(value), mode)


def read_bytes(path):
    """Return a file's content, or None when there is none; a process's files can go while they are read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
        return None


def read_json(path):
    """Return the value of a JSON file, or None when it is missing or damaged."""
    content = read_bytes(path)
    try:
        return None if content is None else json.loads(content)
    except ValueError:
        return None


def discard(path):
    """Remove a file or link if there is one; say whether there was."""
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def read_link(path):
    """Return the target of a symbolic link, or None when `path` is none."""
    try:
        return os.readlink(path)
    except OSError:
        return None


def point(link, target):
    """Make `link` a symbolic link to `target` in one step; None removes it."""
    if read_link(link) == target:
        return
    if target is None:
        discard(link)
    else:
        aside = os.path.join(os.path.dirname(link), ASIDE + os.path.basename(link))
        discard(aside)
        os.symlink(target, aside)
        os.rename(aside, link)
    flush_folder(os.path.dirname(link))


def make_folder(path, mode=0o755):
    """Make a folder and its parents with this mode whatever the umask; one that exists is left as it is."""
    if os.path.isdir(path):
        return
    make_folder(os.path.dirname(path))
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        return
    os.chmod(path, mode)


def remove_tree(path):
    """Remove a folder with everything in it, also when its folders are read-only; links are not followed."""
    try:
        os.chmod(path, 0o700)
        entries = list(os.scandir(path))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            remove_tree(entry.path)
        else:
            os.unlink(entry.path)
    os.rmdir(path)


def retire_tree(path):
    """Remove a complete tree so that a kill half-way leaves something the next sweep recognises, never half a tree."""
    aside = f"{path}.partial-{os.getpid()}-removed"
    os.rename(path, aside)
    remove_tree(aside)


def sha256_of(path):
    """Return the hex SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def copy_checked(source, target, mode, digest):
    """Copy a file, checking its SHA-256 on the way; say whether the copy has the expected content."""
    check = hashlib.sha256()
    with open(source, "rb") as old, open(target, "xb") as new:
        for chunk in iter(lambda: old.read(1 << 20), b""):
            check.update(chunk)
            new.write(chunk)
        os.fchmod(new.fileno(), mode)
    return check.hexdigest() == digest


def flush_file_system(folder):
    """Flush all of a file system at once: for thousands of small files far quicker than flushing each."""
    try:
        import ctypes

        syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    except (ImportError, OSError, AttributeError):
        os.sync()
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if syncfs(handle):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), folder)
    finally:
        os.close(handle)


def changed_at(path):
    """Return when a file was changed last, in seconds since 1970, 0 when it cannot be seen."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0
