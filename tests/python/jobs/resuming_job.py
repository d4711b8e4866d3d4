"""Goes on, in another job of as many ranks, from what saving_job has saved."""

from __future__ import annotations

import copy

import bluefog.torch as bf
import torch
from job import raises
from optimizer_checks import recorded_warnings, vector
from trainings import SAVED_AT, TRAININGS, UNTIL, begin, path, train


def check_each_rank_goes_on_to_the_bit() -> None:
    for name in TRAININGS:
        model, optimizer = begin(name)
        saved = torch.load(path(name, bf.rank()), weights_only=True)
        with recorded_warnings() as messages:
            model.load_state_dict(saved["model"])
            optimizer.load_state_dict(saved["optimizer"])
        assert not messages, messages
        torch.set_rng_state(saved["random"])
        train(model, optimizer, UNTIL - SAVED_AT)
        assert torch.equal(vector(model), torch.load(path(name, f"{bf.rank()}.end"))), name


def check_what_another_rank_remembers_is_refused() -> None:
    other = (bf.rank() + 1) % bf.size()
    for name in TRAININGS:
        _, optimizer = begin(name)
        before = copy.deepcopy(optimizer.state_dict())
        theirs = torch.load(path(name, other), weights_only=True)["optimizer"]
        if not theirs["bluefog"]["state"].get("vectors"):  # it remembers nothing of its own
            optimizer.load_state_dict(theirs)
            continue
        with raises(ValueError, f"remembers on rank {other}, and this is rank {bf.rank()}"):
            optimizer.load_state_dict(theirs)
        assert str(optimizer.state_dict()) == str(before), name
        del theirs["bluefog"]
        optimizer.load_state_dict(theirs)
