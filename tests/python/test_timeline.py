"""The timeline of a job is a file per rank that trace viewers read."""

from __future__ import annotations

import json
import subprocess
import sys

import torch
from ranks import environment, find_bfrun, run_python

SCRIPT = """
import torch
import bluefog.torch as bf

bf.init()
bf.neighbor_allreduce(torch.ones(3), name="weights")
with bf.timeline_context("weights", "my own"):
    bf.barrier()
assert bf.timeline_start_activity("weights", "again")
assert bf.timeline_end_activity("weights")
assert not bf.timeline_end_activity("weights")
assert bf.timeline_start_activity("weights", "is never ended")
bf.shutdown()
assert not bf.timeline_start_activity("weights", "too late")
assert not bf.timeline_end_activity("weights")
"""


#: Each optimizer has a row of its own for each of its models.
TRAINING = """
import contextlib, gc, weakref
import torch
import bluefog.torch as bf
from optimizer_checks import ATC, AWC, inputs, sgd, train_step, two_layers
from torch.utils.checkpoint import checkpoint

torch.set_num_threads(1)
bf.init()

# 0: two steps; what is no step of training does not count
model = two_layers(1)
optimizer = AWC(sgd(model), model)
for step in range(2):
    train_step(model, optimizer, inputs(step))
    with torch.no_grad():
        model(inputs(1))
    model.eval()(inputs(1))
    model.train()

# 1: off and on again
model = two_layers(1)
optimizer = ATC(sgd(model), model)
optimizer.turn_off_timeline()
assert not model._forward_pre_hooks and not model._forward_hooks
train_step(model, optimizer, inputs(1))
assert optimizer.turn_on_timeline() and optimizer.turn_on_timeline()
train_step(model, optimizer, inputs(1))

# 2: two models, each called twice, of several outputs, in one backward
class Several(torch.nn.Module):
    def __init__(self, seed):
        super().__init__()
        self.of_seed = torch.nn.ModuleDict({f"of_{seed}": two_layers(seed)})

    def forward(self, x):
        y = next(iter(self.of_seed.values()))(x)
        return {"y": (y, y + 1), "x": x, "n": 3}

models = [Several(1), Several(2)]
base = torch.optim.SGD([p for model in models for p in model.parameters()], lr=0.1)
optimizer = ATC(base, models, num_steps_per_communication=2)
outputs = [model(inputs(1)) for model in models for _ in range(2)]
sum((o["y"][0] * o["y"][1]).sum() for o in outputs).backward()
optimizer.step()

# 3: what raises leaves nothing open
class Fragile(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = two_layers(1)
        self.breaks_forward = self.breaks_backward = False

    def forward(self, x):
        if self.breaks_forward:
            raise ArithmeticError("forward")
        y = self.inner(x)
        if self.breaks_backward:
            y.register_hook(lambda _: 1 / 0)
        return y * 2

model = Fragile()
optimizer = ATC(sgd(model), model)
model.breaks_forward = True
with contextlib.suppress(ArithmeticError):
    model(inputs(1))
model.breaks_forward, model.breaks_backward = False, True
with contextlib.suppress(ArithmeticError):
    model(inputs(1)).sum().backward()
model.breaks_backward = False
train_step(model, optimizer, inputs(1))

# 4 and 5: checkpointing computes the model again inside the backward
for reentrant in (False, True):
    model = two_layers(1)
    optimizer = ATC(sgd(model), model)
    checkpoint(model, inputs(1).requires_grad_(), use_reentrant=reentrant).sum().backward()
    optimizer.step()

# 6: a compiled model, 7: a model that is compiled and was given as it was
for given in (True, False):
    model = two_layers(1)
    compiled = torch.compile(model, backend="eager", fullgraph=torch.__version__ >= (2, 3))
    optimizer = ATC(sgd(model), compiled if given else model)
    for step in range(2):
        train_step(compiled, optimizer, inputs(step))

# 8: nothing is kept alive
model = two_layers(1)
optimizer = ATC(sgd(model), model)
train_step(model, optimizer, inputs(1))
dead = weakref.ref(model), weakref.ref(optimizer)
output = model(inputs(1))
del optimizer
gc.collect()
assert dead[1]() is None and not model._forward_hooks and not model._forward_pre_hooks
output.sum().backward()
del model, output
gc.collect()
assert dead[0]() is None
"""
FORWARD = [("B", "FORWARD"), ("E", "")]
BACKWARD = [("B", "GRADIENT COMPT."), ("E", "")]
MARKS = {
    "optimizer.0.model": 2 * (FORWARD + BACKWARD),
    "optimizer.1.model": FORWARD + BACKWARD,
    "optimizer.2.model.0": 2 * FORWARD + BACKWARD,
    "optimizer.2.model.1": 2 * FORWARD + BACKWARD,
    "optimizer.3.model": 2 * FORWARD + BACKWARD + FORWARD + BACKWARD,
    "optimizer.4.model": FORWARD + BACKWARD,
    "optimizer.6.model": 2 * (FORWARD + BACKWARD),
    "optimizer.8.model": FORWARD + BACKWARD + FORWARD,
}


def test_forwards_and_backwards_of_models_are_on_record(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(TRAINING)
    job = [find_bfrun(), "-np", "2", sys.executable, str(script)]
    subprocess.run(job, env=environment(BLUEFOG_TIMELINE=f"{tmp_path}/line"), check=True, timeout=120)
    for rank in range(2):
        events = json.loads((tmp_path / f"line{rank}.json").read_text())
        rows = {event["pid"]: event["args"]["name"] for event in events if event["ph"] == "M"}
        marks: dict[str, list[tuple[str, str]]] = {}
        times = [event["ts"] for event in events if event["ph"] in "BE"]
        for event in events:
            if event["ph"] in "BE":
                marks.setdefault(rows[event["pid"]], []).append((event["ph"], event["name"]))
        if torch.__version__ < (2, 3):  # hooks inside of a compiled model run there
            marks.pop("optimizer.7.model", None)
        assert marks == MARKS
        assert times == sorted(times)
        steps = {rows[e["pid"]] for e in events if e["ph"] == "X" and e["name"] == "neighbor_allreduce"}
        assert any(row.startswith("optimizer.0.") for row in steps)


def test_operations_and_own_activities_are_on_record(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    job = [find_bfrun(), "-np", "2", "--timeline-filename", f"{tmp_path}/line", sys.executable, str(script)]
    subprocess.run(job, env=environment(), check=True, timeout=120)
    for rank in range(2):
        events = json.loads((tmp_path / f"line{rank}.json").read_text())
        rows = {event["pid"]: event["args"]["name"] for event in events if event["ph"] == "M"}
        complete = {(rows[event["pid"]], event["name"]) for event in events if event["ph"] == "X"}
        assert ("weights", "neighbor_allreduce") in complete
        assert all(event["dur"] >= 0 for event in events if event["ph"] == "X")
        marks = [(event["ph"], event["name"]) for event in events if event["ph"] in "BE"]
        assert marks == [
            ("B", "my own"),
            ("E", ""),
            ("B", "again"),
            ("E", ""),
            ("B", "is never ended"),
        ]


def test_without_a_timeline_activities_say_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import bluefog.torch as bf\nbf.init()\n"
        "assert bf.timeline_start_activity('x', 'y') is False\n"
        "assert bf.timeline_end_activity('x') is False\n"
        "with bf.timeline_context('x', 'y'):\n    pass\n"
        "import torch\n"
        "model = torch.nn.Linear(1, 1)\n"
        "optimizer = bf.DistributedNeighborAllreduceOptimizer("
        "torch.optim.SGD(model.parameters(), lr=0.1), model)\n"
        "assert optimizer.turn_on_timeline() is False\n"
        "assert not model._forward_hooks and not model._forward_pre_hooks\n"
        "optimizer.turn_off_timeline()\n"
    )
    done = run_python(script.read_text())
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("the timeline is off: start with bfrun --timeline-filename") == 1
