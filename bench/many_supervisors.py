"""Stands in for supervisord on many hosts of one machine, in one process: `python many_supervisors.py FOLDER COUNT`.

Each host FOLDER/<number>/ has its own XML-RPC server on supervisor.sock, which answers what the agent asks as supervisord does
(supervisord.org, "XML-RPC API Documentation"). Programs are read from the host's programs/ but not run: a started web
process is a socket at which this process answers 200 to everything. Nothing else of a host is simulated.
"""

import asyncio
import configparser
import contextlib
import os
import sys
import xmlrpc.client
from pathlib import Path
from xmlrpc.server import SimpleXMLRPCDispatcher

RUNNING, STOPPED = 20, 0
BAD_NAME, ALREADY_STARTED, NOT_RUNNING, ALREADY_ADDED, STILL_RUNNING = 10, 60, 70, 90, 91
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


class Supervisor:
    """supervisord of one host: groups in service, and which of their programs run."""

    def __init__(self, folder, pid):
        self.folder, self.pid = folder, pid
        self.configured, self.groups, self.servers = {}, {}, {}
        self.dispatcher = SimpleXMLRPCDispatcher(allow_none=True)
        self.dispatcher.register_function(self.multicall, "system.multicall")
        for name in ("getSupervisorVersion", "getPID", "getAllProcessInfo", "getProcessInfo", "reloadConfig"):
            self.dispatcher.register_function(getattr(self, name), f"supervisor.{name}")
        for name in ("addProcessGroup", "removeProcessGroup", "startProcess", "stopProcess"):
            self.dispatcher.register_function(getattr(self, name), f"supervisor.{name}")

    # The methods of supervisord's interface, by their own names.

    def getSupervisorVersion(self):
        return "4.3.0"

    def getPID(self):
        return self.pid

    def getAllProcessInfo(self):
        return [self.info(group, name) for group, programs in self.groups.items() for name in programs]

    def getProcessInfo(self, full_name):
        return self.info(*self.named(full_name))

    def reloadConfig(self):
        self.configured = read_groups(self.folder / "programs")
        changed = [name for name, programs in self.groups.items() if self.configured.get(name, programs) != programs]
        added = [name for name in self.configured if name not in self.groups]
        return [[added, changed, [name for name in self.groups if name not in self.configured]]]

    def multicall(self, calls):
        return [self.called(call["methodName"], call["params"]) for call in calls]

    def addProcessGroup(self, group):
        if group in self.groups:
            raise xmlrpc.client.Fault(ALREADY_ADDED, f"ALREADY_ADDED: {group}")
        if group not in self.configured:
            raise xmlrpc.client.Fault(BAD_NAME, f"BAD_NAME: {group}")
        self.groups[group] = self.configured[group]
        for name in self.groups[group]:  # autostart=true
            self.startProcess(f"{group}:{name}", False)
        return True

    def removeProcessGroup(self, group):
        if group not in self.groups:
            raise xmlrpc.client.Fault(BAD_NAME, f"BAD_NAME: {group}")
        if any((group, name) in self.servers for name in self.groups[group]):
            raise xmlrpc.client.Fault(STILL_RUNNING, f"STILL_RUNNING: {group}")
        del self.groups[group]
        return True

    def startProcess(self, full_name, _wait=True):
        group, name = self.named(full_name)
        if (group, name) in self.servers:
            raise xmlrpc.client.Fault(ALREADY_STARTED, f"ALREADY_STARTED: {full_name}")
        launcher = Path(self.groups[group][name]["command"])
        socket = launcher.with_name(launcher.name.partition("-")[0] + ".sock")
        socket.unlink(missing_ok=True)
        self.servers[group, name] = asyncio.ensure_future(asyncio.start_unix_server(answer_web, str(socket)))
        return True

    def stopProcess(self, full_name, _wait=True):
        process = self.named(full_name)
        if process not in self.servers:
            raise xmlrpc.client.Fault(NOT_RUNNING, f"NOT_RUNNING: {full_name}")
        self.servers.pop(process).add_done_callback(lambda starting: starting.result().close())
        return True

    # How.

    def called(self, method, parameters):
        """Return a method's result as one of several; supervisord gives it bare, and a fault as a struct."""
        try:
            return self.dispatcher._dispatch(method, parameters)
        except xmlrpc.client.Fault as fault:
            return {"faultCode": fault.faultCode, "faultString": fault.faultString}

    def named(self, full_name):
        """Return (group, program) of "group:program"; raises the fault for one that is not known."""
        group, _, name = full_name.partition(":")
        if name not in self.groups.get(group, {}):
            raise xmlrpc.client.Fault(BAD_NAME, f"BAD_NAME: {full_name}")
        return group, name

    def info(self, group, name):
        """Return what supervisord tells of a process."""
        is_up = (group, name) in self.servers
        return {
            "group": group,
            "name": name,
            "state": RUNNING if is_up else STOPPED,
            "pid": self.pid if is_up else 0,
            "description": "",
            "stdout_logfile": self.groups[group][name]["stdout_logfile"],
            "stderr_logfile": "",
        }

    async def serve(self, reader, writer):
        """Answer one request of the agent's."""
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length:")[2].split()[0])
            answer = self.dispatcher._marshaled_dispatch(await reader.readexactly(length))
            writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
            await writer.drain()


async def answer_web(reader, writer):
    """Answer one request to a web process."""
    with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        await writer.drain()


def read_groups(folder):
    """Return {group: {program: options}} of the program files in a folder."""
    parser = configparser.RawConfigParser()
    parser.read(sorted(folder.glob("*.conf")))
    programs = {name.removeprefix("program:"): dict(parser[name]) for name in parser.sections()}
    groups = [name for name in parser.sections() if name.startswith("group:")]
    return {
        name.removeprefix("group:"): {member: programs[member] for member in parser[name]["programs"].split(",")}
        for name in groups
    }


async def main(folder, count):
    """Serve all hosts until killed."""
    for number in range(count):
        host = folder / str(number)
        supervisor = Supervisor(host, os.getpid())
        await asyncio.start_unix_server(supervisor.serve, str(host / "supervisor.sock"), backlog=128)
    (folder / "ready").touch()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
