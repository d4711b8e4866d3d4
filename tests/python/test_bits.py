"""Training gives the same bits in every run, wherever the ranks are and whichever way their tensors go.

That the simulator gives them too is a test in C++ (tests/multi/decentralized_test.cpp): ranks in Python are
processes, and those of a simulation are not.
"""

from __future__ import annotations

import pytest
from ranks import HERE, once, run_ranks

RANKS = 4
#: Where ranks are, and how they compute.
SETTINGS = {
    "one host": {},
    "no shared memory": {"BLUEFOG_TRANSPORT": "tcp"},
    "two hosts and other kernels": {
        "BLUEFOG_NODES_PER_MACHINE": "2",
        "BLUEFOG_INSTRUCTION_SET": "portable",
        "BLUEFOG_STORE": "streaming",
    },
}


@pytest.fixture(scope="session")
def hashes(tmp_path_factory):
    @once
    def of_settings(name: str):
        directory = tmp_path_factory.mktemp("bits")
        return run_ranks(RANKS, directory, str(HERE / "jobs" / "bits_job.py"), **SETTINGS[name])

    return of_settings


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "one host"])
def test_bits_do_not_depend_on_where_ranks_are(hashes, name):
    assert hashes(name) == hashes("one host")


def test_every_algorithm_ends_elsewhere(hashes):
    """So the hashes are of what was trained. Only averages over all leave ranks with equal bits."""
    every = hashes("one host")
    ends = {name: {rank[name] for rank in every} for name in every[0]}
    assert len({value for found in ends.values() for value in found}) == sum(map(len, ends.values()))
    assert len(ends["GradientAllreduce"]) == 1 and len(ends["AdaptThenCombine"]) == RANKS
