"""What all controllers share: who asks, what they may see, what they may do, and changes that are written down.

A controller is what a route calls: one class a subject, made with whoever asks. Workers act for Windlass itself and read freely.
"""

import contextlib
from collections import defaultdict

from controllers import audit, rows
from controllers.errors import NotFound
from models import Application, Environment, Target


class Controller:
    """Base of all controllers. `visible` and `require` are the only places that decide what an actor sees and may do."""

    def __init__(self, actor):
        self.actor = actor

    def visible(self, model, *columns):
        """Return the query for the rows of a model that the actor may see, with these columns (default: all of the model's).

        Today whoever is let in sees everything.
        """
        return model.select(*columns)

    def require(self, action, subject=None):
        """Raise Forbidden unless the actor may do `action`, such as "deploy.create", to `subject`: a row, or None for a new one.

        Today whoever is let in may do everything that the route admits them to.
        """

    @contextlib.contextmanager
    def change(self, action, subject, **data):
        """Make a change and write it down, in one transaction; arguments and what is yielded are those of audit.change."""
        self.require(action, subject)
        with audit.change(self.actor, action, subject, **data) as more:
            yield more

    def seen(self, found):
        """Return the set of those rows, of whatever models, that the actor may see."""
        ids = defaultdict(set)
        for row in found:
            ids[type(row)].add(row.id)
        return {row for model, among in ids.items() for row in self.visible(model, model.id).where(model.id.in_(among))}

    def refuse_while_used(self, what, users):
        """Raise Conflict "in-use" unless nothing uses a thing; `users` are [(row, short text)].

        What the actor may not see counts as well, but is not named.
        """
        users = list(users)
        if users:
            seen = self.seen(row for row, _ in users)
            raise rows.in_use(what, [text for row, text in users if row in seen])

    def named(self, model, name, what, to_change=False):
        """Return the row with this name, held until the transaction ends if it is `to_change`; raises NotFound.

        `what` says what there is not, as people call it. A row that the actor may not see is none.
        """
        query = self.visible(model).where(model.name == name)
        query = rows.for_change(query, model) if to_change else query
        return rows.found(query, what, name, candidates=self.visible(model, model.name))

    def targets(self):
        """Return the query for the targets that the actor may see, with their application and environment."""
        query = self.visible(Target, Target, Application, Environment)
        return query.join(Application).switch(Target).join(Environment)

    def target(self, application, environment, to_change=False):
        """Return the target of an application in an environment, both joined; raises NotFound for whichever is missing."""
        row = None
        if "\0" not in application + environment:
            query = self.targets().where(Application.name == application, Environment.name == environment)
            row = (rows.for_change(query, Target) if to_change else query).first()
        if row is None:
            self.named(Application, application, "application")
            self.named(Environment, environment, "environment")
            raise NotFound(f"{application} has no target in {environment}: make one to deploy it there.")
        return row
