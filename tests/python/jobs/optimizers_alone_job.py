"""A job of one: optimizers work as without the wrapper, and nothing is hooked or moved."""

from __future__ import annotations

import bluefog.torch as bf
import torch
from optimizer_checks import STYLES, inputs, sgd, train_step, two_layers, vector


def check_steps_as_without_the_wrapper() -> None:
    for make in (*STYLES, bf.DistributedNeighborAllreduceOptimizer, bf.DistributedAllreduceOptimizer):
        plain, model = two_layers(1), two_layers(1)
        address = model[0].weight.data_ptr()
        optimizers = (sgd(plain, momentum=0.9), make(sgd(model, momentum=0.9), model))
        for step in range(3):
            for m, optimizer in zip((plain, model), optimizers):
                train_step(m, optimizer, inputs(step))
        assert torch.equal(vector(plain), vector(model))
        assert model[0].weight.data_ptr() == address
        assert not model._forward_pre_hooks


def check_weights_schedules_and_closures_are_accepted() -> None:
    for make in STYLES:
        model = two_layers(1)
        optimizer = make(
            sgd(model), model, schedule=bf.one_peer_exponential(1), num_steps_per_communication=2
        )
        optimizer.self_weight, optimizer.src_weights, optimizer.dst_weights = 1.0, {}, []
        loss = model(inputs(1)).sum()
        assert optimizer.step(lambda loss=loss: loss) is loss
        optimizer.load_state_dict(optimizer.state_dict())


def check_synchronize_is_harmless() -> None:
    model = two_layers(1)
    optimizer = STYLES[0](sgd(model), model)
    model(inputs(1)).sum().backward()
    optimizer.synchronize()
    with optimizer.skip_synchronize():
        optimizer.step()
