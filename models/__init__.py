"""Peewee models, one concept a file."""

from models.access import IdempotencyKey, Session, Token, User
from models.audit import AuditEntry, AuditHead
from models.command import Command, CommandRun
from models.delivery import Delivery
from models.deploy import Deploy, Fence, HostRun, HostWatch, Placement, Step
from models.event import Event, Topic
from models.guard import Approval, Freeze, Lock
from models.hook import Automation, Hook
from models.inventory import Application, Environment, Host, Integration, Target, Variable, Zone
from models.maintenance import Maintenance, MaintenanceHost
from models.plan import Plan, PlanHost
from models.preparation import Preparation
from models.release import BuiltEnvironment, Release, Tree
from models.worker import Worker
from models.worker_request import WorkerRequest

MODELS = (
    User,
    Token,
    Session,
    IdempotencyKey,
    Integration,
    Application,
    Environment,
    Zone,
    Host,
    Target,
    Variable,
    Release,
    BuiltEnvironment,
    Tree,
    Plan,
    PlanHost,
    Deploy,
    HostRun,
    HostWatch,
    Step,
    Fence,
    Placement,
    Lock,
    Freeze,
    Approval,
    Maintenance,
    MaintenanceHost,
    AuditEntry,
    AuditHead,
    Command,
    CommandRun,
    Preparation,
    Delivery,
    Hook,
    Automation,
    Topic,
    Event,
    Worker,
    WorkerRequest,
)
__all__ = [model.__name__ for model in MODELS] + ["MODELS"]
