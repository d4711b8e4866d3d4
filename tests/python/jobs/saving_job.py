"""Trains, saves each rank's state and that of the mean, and trains on, for jobs that resume it."""

from __future__ import annotations

import bluefog.torch as bf
import torch
from optimizer_checks import vector
from trainings import SAVED_AT, TRAININGS, UNTIL, begin, path, train


def check_all_are_saved() -> None:
    for name in TRAININGS:
        model, optimizer = begin(name)
        train(model, optimizer, SAVED_AT)
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save({**state, "random": torch.get_rng_state()}, path(name, bf.rank()))
        with bf.mean_model(model):
            if bf.rank() == 0:
                torch.save(state, path(name, "mean"))
        train(model, optimizer, UNTIL - SAVED_AT)
        torch.save(vector(model), path(name, f"{bf.rank()}.end"))
