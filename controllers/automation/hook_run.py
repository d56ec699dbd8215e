"""Do what follows from a hook: a push, a build or a package that a foreign system reported."""

from controllers.automation import rules
from controllers.automation.hooks import KINDS
from controllers.jobs import leases, states
from controllers.jobs.attempt import Attempt
from controllers.jobs.kinds import Kind, declare
from models import Hook
from models.db import now

MOST_ATTEMPTS = 5
HANDLERS = {"push": rules.on_push, "build": rules.on_build, "published": rules.on_published}


class HookAttempt(Attempt):
    """One attempt to do what follows from a hook."""

    model, what = Hook, "hook"
    tells_error = False  # What a foreign system sent may be in it.

    @classmethod
    def may_begin(cls):
        """It waits."""
        return (Hook.state == "waiting") & leases.is_due(Hook)

    def work(self):
        """Do what follows, and write down what that was."""
        self.end("done", "; ".join(self.follow()) or "nothing follows from it")

    def follow(self):
        """Yield what was done about each thing it reports, as people read it."""
        for item in self.row.news:
            kind = item["type"]
            made = KINDS[kind](**{name: value for name, value in item.items() if name != "type"})
            yield from HANDLERS[kind](self.row.integration, made)

    def broke(self, message):
        """Windlass made a mistake, which another attempt may not meet."""
        if self.row.attempt >= MOST_ATTEMPTS:
            self.end("failed", message)
        else:
            self.put_back(outcome=message)

    def end(self, state, outcome):
        """Write down what became of the hook, if it is still ours."""
        states.move(self.row, state, guard=self.is_held(), outcome=outcome, ended_at=now(), **leases.FREE)


KIND = declare(Kind("windlass.hook", run=HookAttempt.carry_out, model=Hook, is_due=HookAttempt.may_begin, most=100))
