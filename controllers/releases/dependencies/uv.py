"""uv, which resolves and installs packages: how it is run, and what its errors mean.

Building a command is pure; `run` carries it out behind the fence, with credentials in a private file.
"""

import os
import re
import shutil
import sys
from pathlib import Path

import subprocesses
from config import data_path
from controllers.build_work import Interrupted
from controllers.errors import BuildFailed
from controllers.foreign.errors import UNAVAILABLE, ForeignError
from egress_proxy import EgressProxy

DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
# What an administrator may set for every build. UV_… ones that name indexes count only where Windlass names none.
INHERITED_VARIABLES = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "UV_SYSTEM_CERTS",
    "UV_NATIVE_TLS",
    "NETRC",
    "TMPDIR",
    "CC",
    "CXX",
    "CFLAGS",
    "LDFLAGS",
)
INDEX_VARIABLES = (
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_INDEX_STRATEGY",
)
CONFIGURATION_FILES = ("$XDG_CONFIG_HOME/uv/uv.toml", "$HOME/.config/uv/uv.toml", "/etc/uv/uv.toml")
PLAIN = ("--no-header", "--no-annotate", "--quiet")
SETTINGS = {
    "LC_ALL": "C.UTF-8", "NO_COLOR": "1", "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "UV_HTTP_RETRIES": "2",
    "UV_KEYRING_PROVIDER": "disabled",
    # Packages that are built from source come out the same each time, as far as their own build allows.
    "PYTHONHASHSEED": "0", "SOURCE_DATE_EPOCH": "315532800",
}  # fmt: skip
MOST_CAUSES = 4
NOISE = re.compile(r"Using (CPython|Python)|Resolved \d|warning: The `--pylock`")
# What asking again later may help against, as uv's HTTP client (reqwest) says it.
AWAY = re.compile(r"HTTP status (server error \(50[0234]|client error \(429)|client error \(Connect\)")
REPEATED = re.compile(r"error:|cause:|hint:")  # What the sentence holds already.


def program():
    """Return the path of uv: the one in this virtualenv, else the one on PATH."""
    beside = Path(sys.prefix, "bin", "uv")
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if not found:
        raise BuildFailed("uv is not installed: run 'python3 dev.py' once, which puts it into env/.")
    return found


def compile_command(sources, output, python_version, python, extras=(), groups=()):
    """Return the arguments that resolve requirement files into the hash-locked file `output`, for all platforms at once."""
    return [
        *("pip", "compile", "--universal", "--generate-hashes", *PLAIN),
        *("--python-version", python_version, "--python", python, "--output-file", str(output)),
        *choices(extras, groups), *map(str, sources),
    ]  # fmt: skip


def export_command(folder, python, extras=(), groups=()):
    """Return the arguments that write the uv.lock of the project in `folder` to exported.txt there, as requirements."""
    return [
        *("--directory", str(folder), "export", "--frozen", "--offline", "--no-dev", "--no-emit-project", "--emit-index-url"),
        *("--format", "requirements.txt", *PLAIN, "--python", python, "--output-file", "exported.txt"),
        *choices(extras, groups),
    ]  # fmt: skip


def choices(extras, groups):
    """Return the options that choose optional dependencies."""
    return [
        *(word for extra in extras for word in ("--extra", extra)),
        *(word for group in groups for word in ("--group", group)),
    ]


def install_command(lock, prefix, python, is_complete, cross=None):
    """Return the arguments that install a lock file below `prefix`.

    python: an interpreter; is_complete: the lock was made by a resolver, so its packages are installed as they are; else
    uv checks that nothing is missing. cross: (platform tag, Python version) of a platform that is not this machine's.
    """
    options = ["--no-deps"] if is_complete else []
    if cross:
        options += ["--only-binary", ":all:", "--python-platform", cross[0], "--python-version", cross[1]]
    return [
        *("pip", "install", "--require-hashes", "--no-progress", "--preview-features", "pylock"),
        *("--prefix", str(prefix), "--python", python, *options, "--requirements", str(lock)),
    ]  # fmt: skip


def environment(folder, index, gate_variables):
    """Return all variables uv gets. `folder` is private and serves as its home; credentials go into a file there."""
    inherited = {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ}
    variables = {
        **inherited, **SETTINGS, "PATH": os.environ.get("PATH", DEFAULT_PATH), "HOME": str(folder),
        "UV_CACHE_DIR": str(data_path("uv-cache", "x").parent), "UV_CREDENTIALS_DIR": str(folder), **gate_variables,
    }  # fmt: skip
    if not index.url:
        configured = configuration_file()
        chosen = {"UV_CONFIG_FILE": configured} if configured else {"UV_NO_CONFIG": "1"}
        return {**variables, **{name: os.environ[name] for name in INDEX_VARIABLES if name in os.environ}, **chosen}
    write_credentials(folder / "credentials.toml", index)
    return {**variables, "UV_NO_CONFIG": "1", "UV_DEFAULT_INDEX": index.url}


def configuration_file():
    """Return the uv.toml of this user or this machine, or None. uv itself would look in the folders it works in, too."""
    paths = [os.path.expandvars(path) for path in CONFIGURATION_FILES]
    return next((path for path in paths if "$" not in path and os.path.isfile(path)), None)


def write_credentials(path, index):
    """Write what uv logs in with, as its own store of credentials has it (docs.astral.sh/uv, "Authentication")."""
    if index.token:
        lines = ['scheme = "bearer"', f"token = {quoted(index.token)}"]
    elif index.username:
        lines = [
            'scheme = "basic"',
            f"username = {quoted(index.username)}",
            f"password = {quoted(index.password or '')}",
        ]
    else:
        return
    text = "\n".join(["[[credential]]", f"service = {quoted(index.url)}", *lines, ""])
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def quoted(text):
    """Return a text as a TOML string."""
    escaped = "".join(
        character if character.isprintable() and character not in '"\\' else f"\\U{ord(character):08x}" for character in text
    )
    return f'"{escaped}"'


class Complaint:
    """Picks out of uv's lines what it complains about, and hands the others on."""

    def __init__(self, output):
        self.output = output
        self.sentences = []
        self.hint = None
        self._is_open = False

    def take_line(self, line):
        """Take a line of uv's."""
        text = line.strip()
        if text.startswith("error:"):
            self.sentences = [text.removeprefix("error:").strip()]
            self._is_open = True
        elif text.startswith("cause:") and self._is_open and len(self.sentences) <= MOST_CAUSES:
            self.sentences.append(text.removeprefix("cause:").strip())
        elif text.startswith("hint:") and not self.hint:
            self.hint = text.removeprefix("hint:").strip()
        elif text.startswith(("[stdout]", "[stderr]")):
            self._is_open = False
        if not NOISE.match(text):
            self.output(line)

    def sentence(self):
        """Return the complaint as one sentence, or None."""
        if not self.sentences:
            return None
        parts = [part.rstrip(".:") for part in self.sentences if part]
        return f"{': '.join(parts)}." + (f" ({self.hint.rstrip('.')}.)" if self.hint else "")


def run(arguments, work, index, folder, what):
    """Run uv in a private folder behind the fence; `what` says in an error what could not be done.

    Raises BuildFailed, Interrupted, and ForeignError while the index is away.
    """
    complaint = Complaint(work.output)
    with EgressProxy() as proxy:
        try:
            subprocesses.run(
                [program(), *arguments],
                environment=environment(folder, index, proxy.variables()),
                folder=folder,
                timeout_s=work.remaining_s(),
                merged=True,
                on_line=complaint.take_line,
                stop=work.stop,
                on_tick=work.tick,
            )
        except subprocesses.Stopped:
            raise Interrupted() from None
        except subprocesses.TimedOut as error:
            raise BuildFailed(
                f"{what}: the build took longer than {work.time_limit_s:.0f} s (setting build.timeout_s).", error.tail
            ) from None
        except subprocesses.CommandError as error:
            sentence = proxy.failures[-1] if proxy.failures else complaint.sentence()
            is_away = not proxy.has_refused if proxy.failures else AWAY.search(sentence or "")
            if is_away:
                raise ForeignError(f"{what}: {sentence}", UNAVAILABLE) from None
            if proxy.failures:
                raise BuildFailed(f"{what}: {sentence}") from None
            tail = [line for line in error.tail if not NOISE.match(line.strip()) and not REPEATED.match(line.strip())]
            raise BuildFailed(f"{what}: {sentence or error}", tail) from None
