"""Joining that cannot succeed, and jobs grouped into pretended machines."""

from __future__ import annotations

import textwrap

from ranks import run_ranks


def script(tmp_path, source: str) -> str:
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(source))
    return str(path)


def test_pretended_machines_number_their_ranks(tmp_path):
    source = """
        import torch
        import bluefog.torch as bf
        from job import report
        bf.init()
        machines = bf.machine_size()
        bf.set_machine_topology(bf.RingGraph(machines, connect_style=2))
        mine = torch.tensor(float(bf.rank()))
        local = bf.allreduce(mine, average=False, is_hierarchical_local=True).item()
        report([bf.local_size(), bf.local_rank(), machines, bf.machine_rank(), bf.is_homogeneous(),
                bf.in_neighbor_machine_ranks(), bf.out_neighbor_machine_ranks(), local])
    """
    reports = run_ranks(4, tmp_path, script(tmp_path, source), BLUEFOG_NODES_PER_MACHINE="2")
    assert reports == [
        [2, 0, 2, 0, True, [1], [1], 1.0],
        [2, 1, 2, 0, True, [1], [1], 1.0],
        [2, 0, 2, 1, True, [0], [0], 5.0],
        [2, 1, 2, 1, True, [0], [0], 5.0],
    ]


def test_machines_of_one_rank_each_mix_too(tmp_path):
    """0.3 refused to."""
    source = """
        import torch
        import bluefog.torch as bf
        from job import report
        bf.init()
        bf.set_machine_topology(bf.FullyConnectedGraph(bf.machine_size()))
        mean = bf.hierarchical_neighbor_allreduce(torch.tensor([float(bf.rank())])).item()
        report([bf.local_size(), bf.machine_size(), mean])
    """
    reports = run_ranks(3, tmp_path, script(tmp_path, source), BLUEFOG_NODES_PER_MACHINE="1")
    assert reports == [[1, 3, 1.0]] * 3


def test_machines_of_different_sizes_are_refused(tmp_path):
    source = """
        import json, os, pathlib
        import bluefog.torch as bf
        from job import raises
        with raises(ValueError, "BLUEFOG_NODES_PER_MACHINE=2 does not divide the 3 ranks"):
            bf.init()
        path = pathlib.Path(os.environ["JOB_DIRECTORY"], os.environ["BLUEFOG_RANK"] + ".json")
        path.write_text(json.dumps("refused"))
    """
    reports = run_ranks(3, tmp_path, script(tmp_path, source), BLUEFOG_NODES_PER_MACHINE="2")
    assert reports == ["refused"] * 3


def test_a_rank_that_does_not_join_is_named_in_time(tmp_path):
    source = """
        import json, os, pathlib
        import bluefog.torch as bf
        from bluefog.common.errors import OperationTimeoutError
        directory, rank = pathlib.Path(os.environ["JOB_DIRECTORY"]), os.environ["BLUEFOG_RANK"]
        if rank == "0":
            try:
                bf.init()
            except OperationTimeoutError as error:
                text = str(error)
        else:
            text = ""
            while not (directory / "0.json").exists():
                pass
        (directory / f"{rank}.json").write_text(json.dumps(text))
    """
    reports = run_ranks(2, tmp_path, script(tmp_path, source), BLUEFOG_START_TIMEOUT="1")
    assert "1" in reports[0]


def test_ctrl_c_ends_joining(tmp_path):
    source = """
        import json, os, pathlib
        import bluefog.torch as bf
        from jobs.interrupt_job import interrupted_inside
        directory, rank = pathlib.Path(os.environ["JOB_DIRECTORY"]), os.environ["BLUEFOG_RANK"]
        if rank == "0":
            with interrupted_inside("init"):
                bf.init()
        else:
            while not (directory / "0.json").exists():
                pass
        (directory / f"{rank}.json").write_text(json.dumps("done"))
    """
    assert run_ranks(2, tmp_path, script(tmp_path, source)) == ["done", "done"]
