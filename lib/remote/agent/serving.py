"""The agent itself: serves the requests of one controller. What a verb needs is imported when that verb is asked for."""

import os
import queue
import signal
import sys
import zlib

from remote.agent import VERSION
from remote.agent.failures import Aborted, Failure, Fault, failure_of
from remote.agent.places import SLOTS
from remote.agent.protocol import LEFT_TO_OTHERS, Control, Emitter, Frames, Inbox

FIRST_STEPS = {
    "begin": "preflight",
    "ship": "ship",
    "files": "ship",
    "activate": "configure",
    "restore": "configure",
    "withdraw": "switch",
    "close": "configure",
}


class Agent:
    """Serves the requests of one controller, one after the other."""

    def __init__(self, inbox, control, emitter):
        self.inbox, self.control, self.emitter = inbox, control, emitter
        self.host = None
        self.shipment = None
        self.verbs = {
            "observe": self.observe,
            "begin": self.begin,
            "ship": self.ship,
            "files": self.files,
            "activate": self.activate,
            "restore": self.restore,
            "withdraw": self.withdraw,
            "close": self.close,
            "run": self.run_command,
        }

    def run(self):
        """Serve until the input ends or the work is aborted, then leave things tidy."""
        for request in iter(self.next_request, None):
            self.emitter.working = True
            answer = self.serve(request)
            self.emitter.working = False
            self.emitter.send(dict(answer, id=request.get("id")))
        self.leave()

    def next_request(self):
        """Return the next request, or None when there is to be none: the input ended, or the work was aborted.

        One that was sent before the work was aborted still gets its answer.
        """
        while True:
            try:
                return self.inbox.requests.get(timeout=0.2)
            except queue.Empty:
                if self.control.reason is not None:
                    return None
            try:
                self.control.check()  # A newer run must not wait for the lock of one that has nothing to do.
            except Aborted:
                return None

    def serve(self, request):
        """Carry out one request; return {"done"} or {"error"}."""
        try:
            self.control.check()
            verb = self.verbs.get(request.get("do"))
            if verb is None:
                raise Failure("bad-request", "There is no verb '{}'.".format(request.get("do")), "Update Windlass.")
            return {"done": verb(request)}
        except Exception as error:  # Whatever it is, the controller must get its one answer.
            failure = failure_of(error)
            failure.step = failure.step or FIRST_STEPS.get(request.get("do"))
            return {"error": failure.answer()}
        finally:
            if request.get("blobs"):
                self.frames(request).drain()

    def frames(self, request):
        """Return the stream of the request being served."""
        if "frames" not in request:
            request["frames"] = Frames(self.inbox, self.control)
        return request["frames"]

    def observe(self, request):
        """Look and change nothing."""
        from remote.agent.hosts import Host
        from remote.agent.observation import observation, probe

        host = Host(request, self.control, self.emitter) if request.get("app") else None
        seen = observation(request, host)
        if host and request.get("probe"):
            seen["probe"] = probe(host)
        return seen

    def begin(self, request):
        """Announce the epoch, take the lock, tidy up, look."""
        from remote.agent.fence import Fence, Journal
        from remote.agent.hosts import Host, QuietHost, Step
        from remote.agent.machine.ports import allocate_ports
        from remote.agent.observation import observation
        from remote.agent.tidying import sweep

        if self.host is not None:
            raise Failure("bad-request", "This session has begun already.")
        host = Host(request, self.control, self.emitter)
        with Step(QuietHost(self.emitter), "preflight"):
            host.place.make()
            fence = Fence(host.place, request["epoch"], request.get("deploy"))
            fence.announce()
            fence.acquire(request.get("lock_wait_s") or 0, self.control)
            self.control.fence, host.journal = fence, Journal(host.place, fence)
            self.host = host
            led_to = host.place.current_release()
            sweep(host)
            host.ports = allocate_ports(host.place)
            return dict(observation(request, host), current_before=led_to)

    def begun(self, step):
        """Return the host; raise Failure when the lock is not held."""
        if self.host is None:
            raise Failure("not-begun", "Nothing may change before 'begin'.", "Update Windlass.", step=step)
        return self.host

    def ship(self, request):
        """Take a tree's list of files; return what of it is lacking here."""
        from remote.agent.releases.shipping import Shipment

        host = self.begun("ship")
        self.drop_shipment()
        shipment = Shipment(host.place, self.control, self.emitter, request)
        with host.step(shipment.step) as step:
            document = self.unpacked(self.frames(request).rest(256 << 20))
            self.shipment = shipment
            try:
                lacks = shipment.begin(document)
                is_complete = not lacks
                if is_complete and shipment.manifest is not None:
                    shipment.finish()
            except BaseException:
                self.drop_shipment()
                raise
            step.message = "all is here"
            step.goes_on = not is_complete or shipment.kind == "environment"  # Its interpreter is yet to be tried.
        if is_complete:
            self.shipment = None
        return {"lacks": lacks, "complete": is_complete}

    @staticmethod
    def unpacked(document):
        """Return the unpacked list of files, refusing one that would fill the memory."""
        unpack = zlib.decompressobj()
        try:
            text = unpack.decompress(document, 256 << 20)
        except zlib.error:
            text = b""
        if not unpack.eof:
            raise Failure("bad-transfer", "The list of files arrived damaged or is too large.", "Deploy again.")
        return text

    def files(self, request):
        """Take the lacking files and complete the tree."""
        host, shipment = self.begun("ship"), self.shipment
        if shipment is None:
            return {"complete": True}
        with host.step(shipment.step) as step:
            try:
                shipment.receive(self.frames(request))
                shipment.finish()
            finally:
                self.drop_shipment()
            step.message = f"{len(shipment.lacks)} of {len(shipment.manifest.entries)} files received"
            step.goes_on = shipment.kind == "environment"
        return {"complete": True}

    def drop_shipment(self):
        """Leave nothing of a tree that was not completed."""
        if self.shipment is not None:
            self.shipment.discard()
            self.shipment = None

    def activate(self, request):
        """Make a release the one that answers."""
        return self.activation(request["spec"], request.get("once"), request.get("keep"), fresh=bool(request.get("fresh"))).run()

    def activation(self, *words, **more):
        """Return an Activation; failing to look at the host means that nothing has been changed."""
        from remote.agent.releases.activation import Activation

        host = self.begun("configure")
        try:
            return Activation(host, *words, **more)
        except Failure as failure:
            failure.detail["restored"] = True
            raise

    def restore(self, request):
        """Go back to what a slot was last filled with, or off this host altogether."""
        from remote.agent.releases.maintenance import closed_or_open
        from remote.agent.releases.withdrawal import Withdrawal

        host, name = self.begun("switch"), request.get("slot")
        if name is None:
            return Withdrawal(host).run()
        spec = host.slot(name).spec() if name in SLOTS else None
        if spec is None:
            raise Failure(
                "nothing-to-restore",
                f"Slot {name} of {host.place.app} is empty on this host.",
                "Deploy the wanted release instead.",
                step="switch",
            )
        return self.activation(closed_or_open(spec, request.get("closed")), only=name).run()

    def close(self, request):
        """Have nginx answer by itself that the application is closed, or lead to it again; its processes go on."""
        from remote.agent.releases.maintenance import Maintenance

        return Maintenance(self.begun("configure"), request.get("closed")).run()

    def run_command(self, request):
        """Run a command by hand, once; it has a lock of its own, so rollouts go on meanwhile."""
        from remote.agent.one_off import OneOff

        if self.control.fence is not None:
            raise Failure("bad-request", "A session that holds a lock runs no command by hand.")
        return OneOff(request, self.control, self.emitter).run()

    def withdraw(self, _request):
        """Take the application off this host."""
        from remote.agent.releases.withdrawal import Withdrawal

        return Withdrawal(self.begun("switch")).run()

    def leave(self):
        """Tidy up at the end of the session; what a newer run is working on is left alone."""
        from remote.agent.tidying import settle

        reason = self.control.reason
        is_left = reason is not None and reason[0] in LEFT_TO_OTHERS
        if self.host is not None and not is_left and not self.control.fence.is_overtaken():
            with self.control:
                try:
                    self.drop_shipment()
                    settle(self.host)
                except (Failure, Fault, OSError) as error:
                    self.host.journal.note("clean", "failed", str(error))
        self.emitter.close()


def main():
    """Run the agent on standard input and output."""
    out = os.dup(1)
    os.dup2(2, 1)  # Nothing but our own messages may reach the controller.
    # A lost connection ends our input, which is the orderly way to learn of it.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    control, emitter = Control(), Emitter(out)
    emitter.send({"event": "hello", "agent": VERSION, "python": "{}.{}".format(*sys.version_info[:2]), "pid": os.getpid()})
    inbox = Inbox(0, control, emitter)
    inbox.start()
    Agent(inbox, control, emitter).run()
    os._exit(0)  # The reading thread may be blocked; nothing else is left to be done.
