"""Small applications for deploy tests, as the files of their repositories."""

WSGI = """\
import os, time, pathlib
VERSION = {version!r}
STATUS = {status!r}

def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(1)
    start_response(STATUS, [("Content-Type", "text/plain")])
    return [VERSION.encode()]
"""
GUNICORN = "gunicorn==23.0.0\npackaging==24.2\n"


def gunicorn(version, status="200 OK", requirements=GUNICORN, processes=None):
    """A WSGI application under gunicorn on the switched socket."""
    procfile = {
        "web": "gunicorn application:application --bind unix:$SOCKET --workers 1 --threads 4 --graceful-timeout 20",
        **(processes or {}),
    }
    return {
        "application.py": WSGI.format(version=version, status=status),
        "requirements.txt": requirements,
        "Procfile": "".join(f"{name}: {command}\n" for name, command in procfile.items()),
    }


PLAIN = """\
import http.server, os, socketserver, sys
VERSION = {version!r}

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = VERSION.encode()
        self.send_response({status})
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
    def address_string(self): return "unix"

class Server(socketserver.ThreadingMixIn, {base}):
    daemon_threads = True
    request_queue_size = 128
    def get_request(self):
        request, _ = super().get_request()
        return request, ("local", 0)

{before}
Server({address}, Handler).serve_forever()
"""


def plain(version, status=200, binding="SOCKET", before="", processes=None):
    """A server of the standard library alone: no dependency, no network, starts in a moment."""
    address = 'os.environ["SOCKET"]' if binding == "SOCKET" else '("127.0.0.1", int(os.environ["PORT"]))'
    base = "socketserver.UnixStreamServer" if binding == "SOCKET" else "socketserver.TCPServer"
    procfile = {"web": f"python server.py ${binding}", **(processes or {})}
    return {
        "server.py": PLAIN.format(version=version, status=status, address=address, before=before, base=base),
        "Procfile": "".join(f"{name}: {command}\n" for name, command in procfile.items()),
    }
