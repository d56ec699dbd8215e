"""Servers that builds fetch from, as tests need them: git over HTTP and a package index, each with a login and a record.

The packages they serve are made here, so that no test needs the network.
"""

import base64
import contextlib
import hashlib
import http.server
import io
import os
import subprocess
import tarfile
import threading
import wsgiref.simple_server
import zipfile
from socketserver import ThreadingMixIn

import pypiserver


class Recording:
    """What a server was asked: paths, and the Authorization headers that came with them."""

    def __init__(self):
        self.paths = []
        self.logins = []

    def note(self, path, login):
        """Remember a request."""
        self.paths.append(path)
        self.logins.append(login)


def basic(username, password):
    """Return the Authorization header of a user name and a password."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


# git over HTTP (git-http-backend(1)).


class GitHandler(http.server.BaseHTTPRequestHandler):
    """Passes requests to git's own CGI program."""

    def answer(self):
        login = self.headers.get("Authorization")
        self.server.record.note(self.path, login)
        if self.server.redirect_to and not self.path.startswith("/moved/"):
            return self.finish_with(302, {"Location": self.server.redirect_to + self.path})
        if self.server.login and login != self.server.login:
            return self.finish_with(401, {"WWW-Authenticate": 'Basic realm="git"'})
        path, _, query = self.path.removeprefix("/moved").partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.server.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        status = int(headers.pop("Status", "200").split()[0])
        return self.finish_with(status, headers, content)

    do_GET = do_POST = answer

    def finish_with(self, status, headers, content=b""):
        """Send an answer."""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(server):
    """Serve from a thread for the length of the block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def git_server(folder, login=None, redirect_to=None):
    """Serve the repositories below a folder over HTTP; yields the server, which has `url` and `record`."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), GitHandler)
    server.folder, server.login, server.redirect_to, server.record = folder, login, redirect_to, Recording()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    with serving(server):
        yield server


# A package index.


class IndexServer(ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    """wsgiref's server, many requests at once."""

    daemon_threads = True


class QuietHandler(wsgiref.simple_server.WSGIRequestHandler):
    """Logs nothing."""

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def package_index(folder, login=None):
    """Serve the packages in a folder with pypiserver; yields the server, which has `url`, `record`, and `away`: a status line
    with which it answers everything as long as that is set.
    """
    application = pypiserver.app(roots=[folder], disable_fallback=True, authenticate=[], password_file=".")
    record = Recording()

    def guarded(environ, start_response):
        given = environ.get("HTTP_AUTHORIZATION")
        record.note(environ["PATH_INFO"], given)
        if server.away:
            start_response(server.away, [("Content-Length", "0")])
            return [b""]
        if login and given != login:
            start_response("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="packages"'), ("Content-Length", "0")])
            return [b""]
        return application(environ, start_response)

    server = wsgiref.simple_server.make_server("127.0.0.1", 0, guarded, IndexServer, QuietHandler)
    server.record, server.away = record, None
    server.url = f"http://127.0.0.1:{server.server_port}/simple/"
    with serving(server):
        yield server


def wheel(folder, name, version="1.0", requires=(), files=None, scripts=None, tag="py3-none-any", requires_python=None):
    """Write a wheel (binary distribution format) and return its SHA-256.

    `scripts` are console scripts, {name: "module:function"}.
    """
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(
        f"Requires-Dist: {item}\n" for item in requires
    )
    metadata += f"Requires-Python: {requires_python}\n" if requires_python else ""
    contents = {
        f"{name.replace('-', '_')}.py": f"VERSION = {version!r}\n",
        **(files or {}),
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    if scripts:
        contents[f"{info}/entry_points.txt"] = "[console_scripts]\n" + "".join(
            f"{key} = {value}\n" for key, value in scripts.items()
        )
    contents[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*contents, f"{info}/RECORD"])
    path = folder / f"{name.replace('-', '_')}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for place, text in contents.items():
            archive.writestr(zipfile.ZipInfo(place, (2020, 1, 1, 0, 0, 0)), text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


BACKEND = """\
import os, zipfile
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    {before}
    name = "{package}-{version}-py3-none-any.whl"
    info = "{package}-{version}.dist-info"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as archive:
        archive.writestr("{package}.py", "VERSION = '{version}'")
        archive.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: {package}\\nVersion: {version}\\n")
        archive.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        lines = ["{package}.py,,"] + [info + "/" + name + ",," for name in ("METADATA", "WHEEL", "RECORD")]
        archive.writestr(info + "/RECORD", "\\n".join(lines))
    return name
"""


def source_distribution(folder, name, version="1.0", before="pass"):
    """Write a source distribution that builds itself without any other package; returns its SHA-256."""
    files = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "pyproject.toml": f'[project]\nname = "{name}"\nversion = "{version}"\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": BACKEND.format(package=name, version=version, before=before),
    }
    path = folder / f"{name}-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for place, text in files.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{place}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return hashlib.sha256(path.read_bytes()).hexdigest()
