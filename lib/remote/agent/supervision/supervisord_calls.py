"""Speaking to supervisord: by XML-RPC, or by its command line."""

import os
import time

from remote.agent.failures import Failure, Fault
from remote.agent.machine.commands import located, run_command
from remote.agent.machine.files import read_bytes
from remote.agent.machine.http import connect_to, parse_response

FAULT_BAD_NAME, FAULT_NO_FILE, FAULT_NOT_EXECUTABLE, FAULT_ABNORMAL, FAULT_SPAWN_ERROR = 10, 20, 21, 40, 50
FAULT_ALREADY_STARTED, FAULT_NOT_RUNNING, FAULT_ALREADY_ADDED, FAULT_STILL_RUNNING, FAULT_CANT_REREAD = (
    60,
    70,
    90,
    91,
    92,
)
STATES = {
    0: "STOPPED",
    10: "STARTING",
    20: "RUNNING",
    30: "BACKOFF",
    40: "STOPPING",
    100: "EXITED",
    200: "FATAL",
    1000: "UNKNOWN",
}


def xml_of(value):
    """Return the XML-RPC text of a value."""
    if isinstance(value, bool):
        return f"<value><boolean>{value:d}</boolean></value>"
    if isinstance(value, int):
        return f"<value><int>{value}</int></value>"
    if isinstance(value, list):
        return "<value><array><data>{}</data></array></value>".format("".join(map(xml_of, value)))
    if isinstance(value, dict):
        members = "".join(f"<member><name>{name}</name>{xml_of(item)}</member>" for name, item in value.items())
        return f"<value><struct>{members}</struct></value>"
    text = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"<value><string>{text}</string></value>"


SCALARS = {
    "string": str,
    "int": int,
    "i4": int,
    "i8": int,
    "double": float,
    "boolean": lambda text: text.strip() == "1",
}


class RpcAnswer:
    """Reads one XML-RPC answer. The standard library's client would take longer to import than all else here together."""

    def __init__(self, document):
        from xml.parsers import expat

        self.containers = [[]]
        self.text, self.value, self.is_typed, self.is_fault = [], None, False, False
        parser = expat.ParserCreate()
        parser.StartElementHandler, parser.EndElementHandler = self.start, self.end
        parser.CharacterDataHandler = self.text.append
        parser.Parse(document, True)

    def start(self, tag, _attributes):
        """An element begins."""
        self.text.clear()
        if tag in ("array", "struct"):
            self.containers.append([])
        elif tag == "value":
            self.is_typed = False
        elif tag == "fault":
            self.is_fault = True

    def end(self, tag):
        """An element ends."""
        text = "".join(self.text)
        if tag in SCALARS:
            self.value, self.is_typed = SCALARS[tag](text), True
        elif tag == "array":
            self.value, self.is_typed = self.containers.pop(), True
        elif tag == "struct":
            items = self.containers.pop()
            self.value, self.is_typed = {items[at]: items[at + 1] for at in range(0, len(items), 2)}, True
        elif tag == "name":
            self.containers[-1].append(text)
        elif tag == "value":
            self.containers[-1].append(self.value if self.is_typed else text)
            self.is_typed = True

    def result(self):
        """Return the value or raise the Fault."""
        if not self.containers[0]:
            raise ValueError("an empty XML-RPC answer")
        value = self.containers[0][0]
        if self.is_fault:
            raise Fault(value["faultCode"], value["faultString"])
        return value


class SupervisorRpc:
    """supervisord by its XML-RPC interface (supervisord.org, "XML-RPC API Documentation").

    No call waits for a process: supervisord only looks at its children when its loop turns, about once a second, and each
    of our looks turns it. So starting and stopping are asked for and then watched.
    """

    look_s = 0.1  # between two looks at process states

    def __init__(self, url, username="", password=""):
        self.url, self.username, self.password = url, username, password
        if url.startswith("unix://"):
            self.address = url[len("unix://") :]
        else:
            host, _, port = url.split("://", 1)[1].split("/", 1)[0].rpartition(":")
            self.address = (host.strip("[]") or "127.0.0.1", int(port))

    def call(self, method, *parameters):
        """Call a method; raises Fault, or Failure when supervisord cannot be reached."""
        body = "<?xml version='1.0'?><methodCall><methodName>{}</methodName><params>{}</params></methodCall>".format(
            method, "".join(f"<param>{xml_of(item)}</param>" for item in parameters)
        ).encode()
        for attempt in range(3):
            status, answer = self.post(body)
            if status != 500:
                break
            time.sleep(0.1 * (attempt + 1))  # A race inside supervisord (Supervisor/supervisor#1600); it passes.
        if status == 401:
            raise Failure(
                "supervisor-denied",
                f"supervisord at {self.url} refuses the user name and password.",
                "Correct them in the [supervisorctl] section of the file given with -c.",
            )
        if status != 200:
            raise self.unreachable(f"it answers with HTTP status {status}")
        return RpcAnswer(answer).result()

    def post(self, body):
        """Send one request; return (status, body)."""
        head = f"POST /RPC2 HTTP/1.0\r\nHost: localhost\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n"
        if self.username:
            import base64

            pair = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
            head += f"Authorization: Basic {pair}\r\n"
        data = []
        try:
            with connect_to(self.address, 20) as connection:
                connection.sendall(head.encode() + b"\r\n" + body)
                for piece in iter(lambda: connection.recv(1 << 16), b""):
                    data.append(piece)
            return parse_response(b"".join(data))
        except (OSError, ValueError) as error:
            raise self.unreachable(getattr(error, "strerror", None) or error) from None

    def unreachable(self, why):
        """Return the Failure for a supervisord that does not answer."""
        return Failure(
            "supervisor-unreachable",
            f"supervisord at {self.url} cannot be reached: {why}.",
            "Start supervisord on the host, or correct supervisor.command in the host's settings.",
        )

    def version(self):
        """Return supervisord's version."""
        return self.call("supervisor.getSupervisorVersion")

    def pid(self):
        """Return supervisord's process id."""
        return self.call("supervisor.getPID")

    def all_states(self):
        """Return {group: {process: info}} of everything supervisord knows."""
        groups = {}
        for info in self.call("supervisor.getAllProcessInfo"):
            groups.setdefault(info["group"], {})[info["name"]] = self.reduced(info)
        return groups

    def states(self, group, names):
        """Return {process: info} of some members of one group; those supervisord does not know are left out."""
        calls = [{"methodName": "supervisor.getProcessInfo", "params": [group + ":" + name]} for name in names]
        infos = self.call("system.multicall", calls) if calls else []
        return {info["name"]: self.reduced(info) for info in infos if "faultCode" not in info}

    @staticmethod
    def reduced(info):
        """Return what matters of a process info."""
        logs = [path for path in (info.get("stdout_logfile"), info.get("stderr_logfile")) if path]
        return {
            "state": STATES.get(info["state"], "UNKNOWN"),
            "pid": info["pid"] or None,
            "note": info.get("description", ""),
            "logs": logs,
        }

    def reread(self):
        """Have the program files read again; return {"added", "changed", "removed"}: names of groups."""
        added, changed, removed = self.call("supervisor.reloadConfig")[0]
        return {"added": added, "changed": changed, "removed": removed}

    def add(self, group):
        """Take a group into service."""
        self.call("supervisor.addProcessGroup", group)

    def remove(self, group):
        """Forget a group whose processes have all ended."""
        self.call("supervisor.removeProcessGroup", group)

    def start(self, name):
        """Ask for a process (group:name) to be started."""
        self.call("supervisor.startProcess", name, False)

    def stop(self, name):
        """Ask for a process (group:name) to be stopped."""
        self.call("supervisor.stopProcess", name, False)


class SupervisorCtl:
    """supervisord by its command line, for hosts where only that may be run (sudo supervisorctl)."""

    look_s = 0.5  # Each look starts a Python, and perhaps sudo.
    FAULTS = (
        ("no such process", FAULT_BAD_NAME),
        ("no such group", FAULT_BAD_NAME),
        ("already started", FAULT_ALREADY_STARTED),
        ("already active", FAULT_ALREADY_ADDED),
        ("not running", FAULT_NOT_RUNNING),
        ("still running", FAULT_STILL_RUNNING),
        ("no such file", FAULT_NO_FILE),
        ("not executable", FAULT_NOT_EXECUTABLE),
        ("spawn error", FAULT_SPAWN_ERROR),
        ("abnormal termination", FAULT_ABNORMAL),
        ("cant_reread", FAULT_CANT_REREAD),
    )

    def __init__(self, argv):
        self.argv = located(argv)

    def call(self, *words):
        """Run supervisorctl; return its output or raise Fault or Failure."""
        status, text = run_command(self.argv + list(words), 120, 1 << 20)
        low = text.lower()
        is_gone = "no such file" in low and "unix://" in low
        if "refused connection" in low or is_gone or "permission denied" in low or status == 4:
            raise Failure(
                "supervisor-unreachable",
                f"supervisorctl cannot reach supervisord: {text[-300:]}",
                "Start supervisord on the host, or correct supervisor.command in the host's settings.",
            )
        if "error" in low and words[0] != "status":
            code = next((code for phrase, code in self.FAULTS if phrase in low), 0)
            raise Fault(code, text[-500:])
        if status and words[0] not in ("status", "start", "stop"):
            raise Failure(
                "supervisor-unreachable",
                "'{}' failed: {}".format(" ".join(self.argv), text[-300:] or status),
                "Run it by hand on the host; correct supervisor.command in the host's settings.",
            )
        return text

    def version(self):
        """Return supervisord's version."""
        return self.call("version")

    def pid(self):
        """Return supervisord's process id."""
        return int(self.call("pid"))

    def all_states(self):
        """Return {group: {process: info}} of everything supervisord knows."""
        groups = {}
        for line in self.call("status").splitlines():
            words = line.split(None, 2)
            if len(words) < 2 or words[1] not in STATES.values():
                continue
            group, _, name = words[0].rpartition(":")
            note = words[2] if len(words) > 2 else ""
            pid = int(note.split()[1].rstrip(",")) if note.startswith("pid ") else None
            groups.setdefault(group or name, {})[name] = {"state": words[1], "pid": pid, "note": note, "logs": []}
        return groups

    def states(self, group, names):
        """Return {process: info} of some members of one group; those supervisord does not know are left out."""
        known = self.all_states().get(group, {})
        return {name: known[name] for name in names if name in known}

    def reread(self):
        """Have the program files read again; return {"added", "changed", "removed"}: names of groups."""
        words = {"available": "added", "changed": "changed", "disappeared": "removed"}
        groups = {"added": [], "changed": [], "removed": []}
        for line in self.call("reread").splitlines():
            name, _, what = line.rpartition(": ")
            if what in words:
                groups[words[what]].append(name)
        return groups

    def add(self, group):
        """Take a group into service."""
        self.call("add", group)

    def remove(self, group):
        """Forget a group whose processes have all ended."""
        self.call("remove", group)

    def start(self, name):
        """Start a process (group:name)."""
        self.call("start", name)

    def stop(self, name):
        """Stop a process (group:name)."""
        self.call("stop", name)


SUPERVISOR_FILES = ("/etc/supervisord.conf", "/etc/supervisor/supervisord.conf", "/etc/supervisor.conf")


def ini_section(text, section):
    """Return {option: value} of one section of an INI file as supervisor writes them."""
    values, is_here = {}, False
    for written in text.splitlines():
        line = written.split(" ;")[0].strip()
        if line.startswith("["):
            is_here = line == f"[{section}]"
        elif is_here and "=" in line and line[0] not in ";#":
            name, _, value = line.partition("=")
            values[name.strip()] = value.strip()
    return values


def options_of(argv):
    """Return what a supervisorctl argv says about the server: {"-c", "-s", "-u", "-p"}; None when it is another program."""
    if os.path.basename(argv[0]) == "supervisorctl":
        words = list(argv[1:])
    elif list(argv[1:3]) == ["-m", "supervisor.supervisorctl"]:
        words = list(argv[3:])
    else:
        return None
    names = {"--configuration": "-c", "--serverurl": "-s", "--username": "-u", "--password": "-p"}
    options = {}
    while words:
        name, separator, value = words.pop(0).partition("=")
        name = names.get(name, name)
        if name not in ("-c", "-s", "-u", "-p"):
            return None
        options[name] = value if separator else words.pop(0) if words else ""
    return options


def open_supervisor(argv):
    """Return the quickest way to supervisord that this supervisorctl command describes."""
    options = options_of(argv)
    if options is None:
        return SupervisorCtl(argv)
    files = [options["-c"]] if "-c" in options else SUPERVISOR_FILES
    section, here = {}, "/"
    for path in files:
        try:
            content = read_bytes(path)
        except OSError:
            return SupervisorCtl(argv)  # We may not read it; perhaps the command may.
        if content is not None:
            section = ini_section(content.decode("utf-8", "replace"), "supervisorctl")
            here = os.path.dirname(os.path.abspath(path))
            break
    url = options.get("-s") or section.get("serverurl", "").replace("%(here)s", here)
    if "%(" in url or not url.startswith(("unix://", "http://")):
        return SupervisorCtl(argv)
    return SupervisorRpc(url, options.get("-u") or section.get("username", ""), options.get("-p") or section.get("password", ""))
