"""Messages are lost, come ten times, in any order, or from somebody else: the rows decide, and nothing is done twice."""

import base64
import json
import random
import shutil
import threading
import uuid

import pytest
from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

from tests.faults import oracle
from tests.faults.stack import PartedStack, running_fault_stack

TEN = 10
LONG_S = "100000"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A Windlass that does not sweep, so that nothing but messages makes it work."""
    folder = tmp_path_factory.mktemp("stack")
    with running_fault_stack(folder, {"WINDLASS_WORKER_SWEEP_S": LONG_S}, PartedStack) as running:
        yield running


@pytest.fixture(autouse=True)
def worker(stack):
    """A worker at the start of each test, whatever happened in the one before."""
    if not stack.worker.is_running:
        stack.worker = stack.start_worker()


def messages(stack):
    """Return the files of the messages that wait in the queue; hidden ones are being written or taken."""
    return list((stack.data / "broker").glob("[0-9]*.msg"))


class Echo(threading.Thread):
    """Puts every message of the folder there ten times more, for as long as it runs."""

    def __init__(self, stack):
        super().__init__(daemon=True)
        self.stack, self.over, self.made, self.seen = stack, threading.Event(), 0, set()

    def run(self):
        while not self.over.wait(0.001):
            for path in messages(self.stack):
                if path.name not in self.seen:
                    self.repeat(path)

    def repeat(self, path):
        """Copy one message; kombu's folders give them out in the order of their names, so the copies come in any order."""
        self.seen.add(path.name)
        for _ in range(TEN):
            copy = path.with_name(f"{random.randrange(10**9)}_{uuid.uuid4()}.{path.name.split('.', 1)[1]}")
            self.seen.add(copy.name)
            aside = copy.with_name(f".{copy.name}")
            try:
                shutil.copy(path, aside)
            except FileNotFoundError:  # The worker was faster.
                return
            aside.rename(copy)
            self.made += 1


@pytest.mark.fault("queue", "Every message ten times more", "every host run is claimed once, the release process runs once")
def test_every_message_comes_ten_times(stack, hosts, name, second):
    stack.worker.stop()  # What is asked for while nobody listens is there to be copied.
    deploy_id = stack.ask(name, second)
    echo = Echo(stack)
    echo.start()
    stack.worker = stack.start_worker()
    try:
        deploy = oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    finally:
        echo.over.set()
        echo.join()
    assert echo.made >= TEN
    assert stack.host_runs(deploy)[hosts[0].name]["attempt"] == 1


@pytest.mark.fault("queue", "Messages for every id ten times, shuffled, old ones too", "what has ended stays as it is")
def test_messages_of_all_kinds_in_any_order(stack, hosts, name, second):
    deploy_id = stack.ask(name, second)
    for task, queue in (
        ("windlass.host_run", "zone.default"),
        ("windlass.reconcile", "windlass"),
        ("windlass.build", "windlass"),
        ("windlass.bake_host", "zone.default"),
        ("windlass.plan_host", "zone.default"),
        ("windlass.host_run", "zone.default"),
    ):
        ids = [*range(deploy_id + 3)] * TEN
        random.shuffle(ids)
        stack.enqueue(task, ids, queue)
    deploy = oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    oracle.await_true(lambda: not messages(stack), "empty queue")
    assert stack.host_runs(deploy)[hosts[0].name]["attempt"] == 1
    oracle.check_history(stack, deploy_id)


@pytest.mark.fault(
    "queue", "Forged messages: unsigned, signed with another key", "refused; only Windlass's own starts the deploy"
)
def test_forged_messages_are_refused(stack, hosts, name, second):
    stack.worker.stop()
    deploy_id = stack.ask(name, second)
    (own,) = [path for path in messages(stack) if deploy_id in args_of(path)]
    key = own.read_text()
    own.unlink()
    stack.worker = stack.start_worker()
    forge_unsigned(stack, deploy_id)
    forge_signature(stack, key)
    oracle.await_true(lambda: not messages(stack), "every message taken")
    oracle.await_true(lambda: "not signed with this Windlass's key" in worker_log(stack), "word of a bad signature")
    oracle.await_true(lambda: "Refusing to deserialize" in worker_log(stack), "word of an unsigned message")
    assert stack.call("GET", f"/deploys/{deploy_id}")["state"] == "queued"
    stack.enqueue("windlass.reconcile", [deploy_id])
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))


def worker_log(stack):
    """Return what the worker has written."""
    return (stack.folder / "worker.log").read_text()


def args_of(path):
    """Return the ids in a message of Windlass's own: its body is `signature.JSON`, in base64."""
    body = json.loads(path.read_text())["body"]
    text = base64.b64decode(body).decode()
    return json.loads(text.partition(".")[2])[0]


@pytest.mark.fault("queue", "Messages cut short, as by a power cut", "left out and logged; no worker ends of them")
def test_messages_that_were_cut_short(stack, hosts, name, second):
    stack.worker.stop()
    deploy_id = stack.ask(name, second)
    (own,) = [path for path in messages(stack) if deploy_id in args_of(path)]
    queue = own.name.partition(".")[2]
    for number, part in enumerate(("", own.read_text()[:50])):
        own.with_name(f"{number:020d}_cut.{queue}").write_text(part)  # Taken first.
    stack.worker = stack.start_worker()
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    assert worker_log(stack).count("a message that cannot be read is left out") == 2
    assert stack.worker.is_running


def forge_unsigned(stack, deploy_id):
    """Enqueue as anybody could who may write to the queue: with JSON that is not signed."""
    folder = str(stack.data / "broker")
    TRANSPORT_ALIASES["embedded"] = "filesystem_broker:Transport"
    forger = Celery("forger", broker="embedded://localhost/")
    forger.conf.update(
        broker_transport_options={"data_folder_in": folder, "data_folder_out": folder},
        task_serializer="json",
        task_create_missing_queues=True,
    )
    forger.send_task("windlass.reconcile", (deploy_id,), queue="windlass")


def forge_signature(stack, own):
    """Put a message of Windlass's own back with another signature."""
    message = json.loads(own)
    text = base64.b64decode(message["body"]).decode()
    forged = "0" * 64 + "." + text.partition(".")[2]
    message["body"] = base64.b64encode(forged.encode()).decode()
    path = stack.data / "broker" / f"1_{uuid.uuid4()}.windlass.msg"
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(message))
    draft.rename(path)


@pytest.mark.fault("queue", "Every message is lost", "the next look for due work finds the deploy")
def test_lost_messages(stack, hosts, name, second):
    stack.worker.stop()
    deploy_id = stack.ask(name, second)
    for path in messages(stack):
        path.unlink()
    stack.worker = stack.start_worker(WINDLASS_WORKER_SWEEP_S="1")
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
