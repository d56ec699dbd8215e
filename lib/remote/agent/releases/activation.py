"""Make a release the one that answers: start it beside the old one, check it, switch, drain the old one."""

import os
import stat
import time

from remote.agent.failures import FULL, Aborted, Failure, Fault
from remote.agent.hosts import referenced
from remote.agent.machine.commands import run_command
from remote.agent.machine.files import discard, point, read_link, retire_tree
from remote.agent.machine.http import http_get, is_expected
from remote.agent.machine.nginx import STEADY_S, listen_address, names_in
from remote.agent.observation import application
from remote.agent.places import is_plain
from remote.agent.protocol import LEFT_TO_OTHERS
from remote.agent.releases.release_process import ReleaseProcess
from remote.agent.supervision.programs import UP
from remote.agent.supervision.watching import Watch


class Activation:
    """Make a slot with the desired release answer, and put everything back when that does not work out."""

    def __init__(self, host, spec, once=None, keep=None, only=None, fresh=False):
        self.host, self.place, self.spec, self.once, self.keep = host, host.place, spec, once, keep
        self.active, self.is_fresh = self.place.active(), fresh
        self.before = (read_link(self.place.switch), read_link(self.place.current))
        self.slot, self.is_warm = self.choose(only)
        self.is_restoring = only is not None
        self.started, self.watch = [], None
        self.is_emptied = self.is_moved = False
        self.site_before = None
        self.nginx = host.nginx() if spec.get("nginx") and spec.get("web") else None

    def run(self):
        """Do it; return the answer of the verb."""
        try:
            self.environment()
            self.configure()
            self.start()
            self.check()
            self.switch()
            self.confirm()
        except Failure as failure:
            self.put_back(failure)
            raise
        self.drain()
        self.clean()
        return {
            "active": self.slot.name,
            "current": self.spec["release"],
            "warm": self.is_warm,
            "switched": self.before[0] != self.slot.name + ".sock",
            "application": application(self.host, texts=True),
        }

    def choose(self, only):
        """Return (slot, whether it runs the desired release already)."""
        states = self.host.all_states()
        inactive = "b" if self.active == "a" else "a"
        for name in [only] if only else [self.active, inactive]:
            is_up = not self.is_fresh and name and self.is_up(states.get(name, {}))
            if is_up and self.host.slot(name).holds(self.spec):
                return self.host.slot(name), True
        return self.host.slot(only or inactive), False

    def is_up(self, infos):
        """Say whether the processes that count run: the web process, or all of them where there is none."""
        names = [self.spec["web"]] if self.spec.get("web") else list(self.spec["processes"])
        return all(infos.get(name, {}).get("state") in UP for name in names)

    def others(self):
        """Return the names of the processes that are not the web process."""
        return [name for name in self.spec["processes"] if name != self.spec.get("web")]

    def environment(self):
        """The release and its environment are there, and its interpreter runs."""
        with self.host.step("environment") as step:
            if self.is_warm:
                step.skip(f"slot {self.slot.name} still runs this release")
                return
            for kind, name in (("release", self.spec["release"]), ("environment", self.spec["environment"])):
                if not os.path.isdir(os.path.join(self.place.trees(kind), name)):
                    raise Failure(
                        "not-shipped",
                        f"The {kind} {name} is not on this host.",
                        "Deploy again; it will be sent.",
                    )
            step.message = f"Python {self.interpreter_version()}"

    def interpreter_version(self):
        """Return the version of the environment's interpreter, found by running it."""
        python = "{}/{}/bin/python".format(self.place.environments, self.spec["environment"])
        try:
            status, text = run_command([python, "-I", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"], 30)
        except Failure as failure:
            status, text = 1, failure.message
        if status:
            raise Failure(
                "environment-broken",
                f"The environment's interpreter {os.path.realpath(python)} does not run: {text[-500:]}",
                "Install that Python on the host, then deploy again.",
            )
        return text

    def configure(self):
        """The supervisor's folder can be written to, and nginx accepts the site."""
        with self.host.step("configure") as step:
            if not self.is_warm:
                self.host.supervisor.check_folder()
                self.slot.program(self.spec)
            if not self.site_differs():
                step.skip("nothing differs") if self.is_warm else None
                return
            name, text = self.site()
            self.host.remember_file("nginx", name)
            with self.host.control, self.nginx:
                undo = self.nginx.try_out(name, text, self.place.switch, self.slot.name + ".sock")
                try:
                    self.nginx.test(names_in(text))
                finally:
                    self.nginx.take_back(name, undo)
            step.message = f"nginx accepts the new site {name}"

    def site(self):
        """Return (file name, text) of the nginx site for the slot."""
        about = self.spec["nginx"]
        if not is_plain(about["path"]):
            raise Failure("bad-request", "'{}' cannot be the name of a site file.".format(about["path"]))
        return about["path"], about.get("closed") or about["text"][self.slot.name]

    def is_closed(self):
        """Say whether nginx is to answer by itself that the application is closed for maintenance."""
        return self.nginx is not None and bool(self.spec["nginx"].get("closed"))

    def site_differs(self):
        """Say whether nginx's file has to change."""
        if self.nginx is None:
            return False
        name, text = self.site()
        return self.nginx.text(name) != text

    def start(self):
        """Run the once command, empty the slot, fill it and start its processes."""
        with self.host.step("start") as step:
            message = ReleaseProcess(self.host, self.spec, self.slot.name, self.once).run() if self.once else None
            if self.is_warm:
                self.start_others()
                step.skip(f"slot {self.slot.name} runs already") if not message and not self.started else None
            else:
                self.start_cold()
            step.message = step.message or message

    def start_cold(self):
        """Start the slot anew."""
        self.host.control.check()
        self.is_emptied = True
        self.slot.vacate(self.spec.get("drain_s") or 0, self.spec)
        self.slot.free_address(self.spec)
        self.slot.fill(self.spec)
        self.watch = Watch(self.host, self.slot.name, self.spec["processes"])
        self.slot.supervisor().load(self.slot.name)
        self.watch.mark()
        self.slot.supervisor().start(self.slot.name, list(self.spec["processes"]))

    def start_others(self):
        """Start what was stopped when the slot was left: all but the web process."""
        states = self.slot.supervisor().states(self.slot.name, self.spec["processes"])
        self.watch = Watch(self.host, self.slot.name, self.spec["processes"])
        self.started = [name for name in self.others() if states.get(name, {}).get("state") not in UP]
        for name in self.started:
            self.slot.write_launcher(self.spec, name)
        self.slot.supervisor().start(self.slot.name, self.started)

    def check(self):
        """The new slot answers on its own socket or port, and its other processes stay up."""
        with self.host.step("check") as step:
            health = self.spec.get("health") or {}
            limit_s = health.get("timeout_s") or 60
            began = time.monotonic()
            if self.spec.get("web"):
                status = self.await_health(health, limit_s)
                step.message = f"answered {status} after {time.monotonic() - began:.2f} s"
            if not self.is_warm:
                self.watch.await_running(self.others(), max(limit_s, 15))
            self.note_ready()

    def note_ready(self):
        """Write into the slot's record that it passed, with this spec, whose health check or site may be newer than the slot.

        A slot whose record says so already is not kept from taking over by a full disk: that may be the way out of it.
        """
        was_ready = self.is_warm and self.slot.record()["phase"] == "ready"
        try:
            self.slot.set_phase("ready", self.spec)
        except OSError as error:
            if error.errno not in FULL or not was_ready:
                raise

    def await_health(self, health, limit_s):
        """Wait for the expected status from the slot itself; return the status."""
        address, path, host = self.slot.address(self.spec), health.get("path") or "/", health.get("host") or "localhost"
        deadline = time.monotonic() + limit_s
        while True:
            try:
                self.slot.open_socket()
                left_s = max(0.2, min(10, deadline - time.monotonic()))
                status = http_get(address, path, host, left_s, self.watch.look)[0]
                if is_expected(status, health.get("expect_status")):
                    self.slot.open_socket()  # It may have been made, or closed to others, since a moment ago.
                    self.watch.looked_at = 0.0
                    self.watch.look()
                    return status
                last = f"it answered with status {status}"
            except (FileNotFoundError, ConnectionRefusedError):
                last = "nothing listens on {}".format(address if isinstance(address, str) else "{}:{}".format(*address))
            except (OSError, ValueError) as error:
                last = getattr(error, "strerror", None) or str(error)
            if time.monotonic() > deadline:
                raise Failure(
                    "unhealthy",
                    "{} did not answer {} with {} within {} seconds: {}.{}".format(
                        "The web process",
                        path,
                        health.get("expect_status") or "a status below 400",
                        limit_s,
                        last,
                        self.watch.tail(self.spec["web"]),
                    ),
                    "See the log's end above, and whether the web process listens on "
                    "$SOCKET or $PORT and the health path is right.",
                )
            self.watch.look()
            self.host.control.pause()

    def switch(self):
        """One rename makes the slot the one that answers; nginx's file changes with it where it has to."""
        with self.host.step("switch") as step, self.host.control:
            if self.site_differs():
                with self.nginx:
                    self.switch_with_site()
                step.message = f"slot {self.slot.name} answers; nginx reloaded"
            elif (self.slot.name + ".sock", "releases/" + self.spec["release"]) == self.before:
                self.verify()
                step.skip(f"slot {self.slot.name} answers already")
            else:
                self.move_links()
                self.verify()
                step.message = f"slot {self.slot.name} answers"
            if self.is_closed():
                step.message = f"slot {self.slot.name} is in place; nginx answers 503 until maintenance is lifted"

    def move_links(self):
        """Name the slot and its release as the current ones."""
        self.is_moved = True
        point(self.place.switch, self.slot.name + ".sock")
        point(self.place.current, "releases/" + self.spec["release"])

    def move_links_back(self):
        """Name what was current before."""
        if self.is_moved:
            point(self.place.switch, self.before[0])
            point(self.place.current, self.before[1])
            self.is_moved = False

    def switch_with_site(self):
        """Change nginx's file and the links so that at each moment both lead to a slot that answers.

        A site that names the socket leads to the new slot once the link is moved, so the link goes first. One that names a
        port leads there by itself, and the old site may need the link as it is, so nginx goes first.
        """
        name, text = self.site()
        old, is_reloaded = self.nginx.text(name), False
        undo = self.nginx.try_out(name, text, self.place.switch, self.slot.name + ".sock")
        try:
            self.nginx.test()
            self.nginx.will_reload(name, undo)
            if self.spec["binding"] == "socket":
                self.move_links()
            is_reloaded = True
            self.nginx.reload()
            # Should the old site need the link as it is, then not even the last of nginx's old worker processes may use it.
            self.nginx.prove(text, self.host_header(), steady_s=self.settling_time(old))
            self.move_links()
            self.verify()
            self.nginx.keep(name)
        except (Failure, OSError):
            self.site_back(name, old, is_reloaded)
            raise
        self.site_before = (name, old)

    def settling_time(self, old):
        """Return for how long nginx must have served the new site before the links may move and the switch counts as done."""
        is_link_in_use = self.place.switch in (old or "") and self.spec["binding"] != "socket"
        return STEADY_S if is_link_in_use else STEADY_S / 2

    def site_back(self, name, old, is_reloaded):
        """Put nginx's file and the links back, in the order opposite to that of the switch."""
        undo = self.nginx.try_out(name, old, self.place.switch, self.before[0])
        try:
            if self.spec["binding"] != "socket":
                self.move_links_back()
            if is_reloaded:
                self.nginx.will_reload(name, undo)
                self.nginx.reload()
                self.nginx.prove(old, self.host_header(), steady_s=STEADY_S)
        finally:
            self.move_links_back()
        self.nginx.keep(name)

    def host_header(self):
        """Return the Host header for requests to the application."""
        return (self.spec.get("health") or {}).get("host") or "localhost"

    def verify(self):
        """The application answers through nginx too."""
        if self.nginx is None:
            return
        health, listen = self.spec.get("health") or {}, self.host.settings["nginx"]["listen"]
        deadline = time.monotonic() + 3
        while True:
            try:
                status = http_get(listen_address(listen), health.get("path") or "/", self.host_header(), 5, lambda: None)[0]
                if status == 503 if self.is_closed() else is_expected(status, health.get("expect_status")):
                    return
                last = f"it answered with status {status}"
            except (OSError, ValueError) as error:
                last = getattr(error, "strerror", None) or str(error)
            if time.monotonic() > deadline:
                raise Failure(
                    "not-served",
                    f"The release answers on its own, but not through nginx at {listen}: {last}.",
                    self.why_not_served(),
                )
            self.host.control.pause()

    def why_not_served(self):
        """Return what most likely keeps nginx from serving the application."""
        path = self.place.run
        while self.spec.get("binding") == "socket" and path != "/":
            if not os.stat(path).st_mode & stat.S_IXOTH:
                return f"nginx's user may not enter the folder {path}: 'chmod o+x' it or choose another root."
            path = os.path.dirname(path)
        return "See nginx's error log, whether nginx runs, and whether another site claims the same server name."

    def confirm(self):
        """Processes started again in a warm slot stay up; only then may the old slot's be stopped."""
        if not self.started:
            return
        try:
            self.watch.await_running(self.started, 60)
        except Failure as failure:
            failure.step = "check"
            raise

    def put_back(self, failure):
        """Leave everything as it was before; the error says whether that worked out.

        When another run takes over, things are left as they are: it goes on from what it finds.
        """
        failure.detail["restored"] = False
        if failure.code in LEFT_TO_OTHERS:
            return
        with self.host.control:
            try:
                was_moved = self.is_moved
                if self.site_before is not None:
                    with self.nginx:
                        self.site_back(*self.site_before, True)
                self.move_links_back()
                if self.slot.name != self.active:
                    self.empty_again(was_moved)
                failure.detail["restored"] = self.slot.name != self.active or not self.is_emptied
            except (Failure, Fault, OSError) as second:
                failure.message += f" Putting things back did not work out either: {second}"

    def empty_again(self, was_moved):
        """Stop what was started in the slot, which is not the active one."""
        if was_moved:
            self.slot.wait_until_idle(self.spec.get("drain_s") or 0)
        if self.is_emptied and self.is_restoring:
            self.slot.stop()  # What is known of the slot stays, so that a later attempt can restore it.
            self.slot.set_phase("ready", self.spec)
        elif self.is_emptied:
            self.slot.clear()
        elif self.started:
            self.stop_others_of(self.slot, 60)

    @staticmethod
    def stop_others_of(slot, wait_s):
        """Stop a slot's processes other than web and keep them from being started with the machine.

        Returns (their names, the names of those that are still ending).
        """
        spec = slot.spec() or {"processes": {}}
        names = [name for name in spec["processes"] if name != spec.get("web")]
        left = slot.stop(names, wait_s) if names else []
        for name in names:
            slot.retire_launcher(name)
        return names, left

    def drain(self):
        """Stop what the old slot need not go on with: its other processes, and the web process unless it is kept warm."""
        old = self.host.slot("b" if self.slot.name == "a" else "a")
        with self.host.step("drain") as step:
            spec, drain_s = old.spec(), self.spec.get("drain_s") or 0
            if spec is None:
                step.skip("the other slot is empty")
                return
            old.mend_program()
            try:
                names, left = self.stop_others_of(old, max(drain_s, 5))
                if spec.get("web") and not self.spec.get("keep_warm", True):
                    left += self.drain_web(old, spec, drain_s)
                    names = [*names, spec["web"]]
            except Aborted:
                step.message = f"left to {old.supervisor().kind}"
                return
            if not names:
                step.skip(f"slot {old.name} stays up for a quick way back")
            else:
                step.message = "stopped {}".format(", ".join(names)) + (
                    "; still ending: {}".format(", ".join(left)) if left else ""
                )

    def drain_web(self, old, spec, drain_s):
        """Stop the old web process after its last connection; return its name in a list when it is still ending."""
        if self.nginx is not None and spec.get("binding") == "port":
            self.nginx.prove(self.site()[1], self.host_header(), steady_s=STEADY_S)
        old.wait_until_idle(drain_s)
        return old.stop([spec["web"]], max(drain_s, 5))

    def clean(self):
        """Remove the releases and environments that nobody needs any more."""
        with self.host.step("clean") as step:
            if not self.keep:
                step.skip("nothing was named to be kept")
                return
            removed, remaining = [], []
            for path, kind in self.unneeded():
                if self.host.control.reason is not None:
                    break
                try:
                    retire_tree(path)
                    discard(self.place.manifest(kind, os.path.basename(path)))
                    removed.append(path)
                except OSError as error:
                    remaining.append(f"{error.filename or path} ({error.strerror})")
            if remaining:
                step.message = "could not remove {}".format(", ".join(remaining))
            elif removed:
                step.message = f"removed {len(removed)} old releases and environments"
            else:
                step.skip("nothing to remove")

    def unneeded(self):
        """Return [(path, kind)] of the trees that are neither to be kept nor in use."""
        needed = referenced(self.host)
        return [
            (os.path.join(self.place.trees(kind), name), kind)
            for kind, key in (("release", "releases"), ("environment", "environments"))
            for name in self.place.complete(kind)
            if name not in needed[kind] and name not in self.keep.get(key, ())
        ]
