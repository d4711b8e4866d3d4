"""C++ programs that use LibTorch, beside the Python front end; tests/torch checks the rest."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import quick_start
import torch
from ranks import BUILD, REPOSITORY, environment, find_bfrun, run_program
from stripes import write_stripes

PROGRAM = BUILD / "examples/cpp/torch_fashion_mnist"
pytestmark = pytest.mark.skipif(
    "BLUEFOG_LINKS_TORCH:INTERNAL=1" not in (BUILD / "CMakeCache.txt").read_text(),
    reason="the front end is for LibTorch 2.7 or newer, with headers, that this system's compiler can link",
)

#: The example's training in Python, whose ranks leave their parameters as the C++ one does.
TRAINING = f"""
import sys
sys.path.insert(0, {str(REPOSITORY / "examples/python")!r})
import bluefog.torch as bf, numpy, torch
import fashion_mnist as example
torch.set_num_threads(1)
target = sys.argv.pop()
args = example.parse_arguments()
bf.init()
trainer = example.Trainer(args, *example.own_images(args))
record = trainer.train()
if bf.rank() == 0:
    print("mean model:", record.total["mean_model"])
values = numpy.concatenate([p.detach().numpy().ravel() for p in trainer.model.parameters()])
values.tofile(f"{{target}}.{{bf.rank()}}")
bf.barrier()
"""
#: A rank that averages as the C++ program beside it does.
AVERAGING = """
import bluefog.torch as bf, torch
bf.init()
for step in range(20):
    mean = bf.neighbor_allreduce(torch.arange(8, dtype=torch.float64) + bf.rank(), name=f"mixed.{step}")
print(f"rank {bf.rank()} of {bf.size()}: {mean[0].item():g}", flush=True)
bf.barrier()
"""
AVERAGING_CPP = """
#include <cstdio>
#include <bluefog/torch.hpp>
#include <torch/torch.h>
int main() {
  bluefog::Context context;
  context.set_topology(bluefog::exponential_two_graph(context.size()));  // as bf.init() does in Python
  at::Tensor mean;
  for (int step = 0; step < 20; ++step) {
    bluefog::NeighborAllreduceOptions options;
    options.name = "mixed." + std::to_string(step);
    mean = bluefog::torch::neighbor_allreduce(context, at::arange(8, at::kDouble) + context.rank(), options);
  }
  std::printf("rank %d of %d: %g\\n", context.rank(), context.size(), mean[0].item<double>());
  std::fflush(stdout);
  context.barrier();
}
"""
PROJECT = """
cmake_minimum_required(VERSION 3.22)
project(outside LANGUAGES CXX)
find_package(bluefog REQUIRED COMPONENTS torch)
foreach(program averaging quick_start)
  add_executable(${program} ${program}.cpp)
  target_link_libraries(${program} PRIVATE bluefog::torch)
endforeach()
"""


run = functools.partial(run_program, OMP_NUM_THREADS="1")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_stripes(folder, training_images=3200)
    return folder


@pytest.mark.parametrize("algorithm", ["awc", "atc", "gradient-allreduce", "gradient-tracking"])
def test_both_front_ends_make_the_same_steps(algorithm: str, data: Path, tmp_path: Path) -> None:
    options = ["--algorithm", algorithm, "--data", data, "--epochs", 1, "--lr", 0.01]  # 50 steps of 2 ranks
    train = ["-c", TRAINING, *options, "--evaluations", 1, tmp_path / "python"]
    of_python = re.search(r"mean model: (\S+)", run(find_bfrun(), "-np", 2, sys.executable, *train))
    said = run(find_bfrun(), "-np", 2, PROGRAM, *options, "--parameters-to", tmp_path / "cpp")
    for rank in range(2):
        ours, theirs = (np.fromfile(tmp_path / f"{name}.{rank}", np.float32) for name in ("cpp", "python"))
        assert len(ours) == len(theirs) > 80_000
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    of_cpp = re.search(r"of the mean model (\S+) %; 3200 samples", said)
    assert of_python and of_cpp, said
    assert float(of_cpp[1]) == pytest.approx(100 * float(of_python[1]), abs=0.51)


@pytest.mark.parametrize("algorithm", ["exact-diffusion", "win-put", "push-sum"])
def test_every_algorithm_of_the_example_learns(algorithm: str, data: Path) -> None:
    options = ["--algorithm", algorithm, "--topology", "ring", "--data", data, "--epochs", 2, "--lr", 0.02]
    said = run(find_bfrun(), "-np", 2, PROGRAM, *options)
    found = re.search(r"of the mean model (\S+) %", said)
    assert found and float(found[1]) > 90, said


def test_impossible_numbers_are_one_clear_line(data: Path) -> None:
    command = [str(PROGRAM), "--limit", "1", "--data", str(data / "nowhere")]
    job = subprocess.run(command, env=environment(), text=True, capture_output=True, timeout=60, check=False)
    assert job.returncode == 1
    assert job.stderr.startswith("fashion_mnist: put train-images") and job.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a project outside of this one, over the installed package."""
    folder = tmp_path_factory.mktemp("outside")
    prefix, build = folder / "prefix", folder / "build"
    run("cmake", "--install", BUILD, "--prefix", prefix)
    (folder / "averaging.cpp").write_text(AVERAGING_CPP)
    (folder / "quick_start.cpp").write_text(quick_start.program(quick_start.LIBTORCH))
    (folder / "CMakeLists.txt").write_text(PROJECT)
    prefixes = f"{prefix};{torch.utils.cmake_prefix_path}"
    run("cmake", "-G", "Ninja", "-S", folder, "-B", build, f"-DCMAKE_PREFIX_PATH={prefixes}")
    run("cmake", "--build", build)
    return build


def test_a_project_outside_builds_against_package_and_libtorch(programs: Path) -> None:
    said = run(find_bfrun(), "--tag-output", "-np", 3, programs / "averaging")
    assert sorted(re.findall(r"rank (\d) of 3: (\S+)", said)) == [("0", "1"), ("1", "1"), ("2", "1")]


def test_the_snippet_of_the_quick_start_learns(programs: Path) -> None:
    said = run(find_bfrun(), "--tag-output", "-np", 2, programs / "quick_start")
    assert sorted(re.findall(r"rank (\d) has run all", said)) == ["0", "1"]


def test_ranks_of_both_languages_average_one_tensor(programs: Path, tmp_path: Path) -> None:
    (tmp_path / "averaging.py").write_text(AVERAGING)
    choose = 'if [ "$BLUEFOG_RANK" -lt 2 ]; then exec "$0"; else exec "$1" "$2"; fi'
    said = run(
        find_bfrun(),
        "--tag-output",
        "-np",
        4,
        "sh",
        "-c",
        choose,
        programs / "averaging",
        sys.executable,
        tmp_path / "averaging.py",
    )
    found = dict(re.findall(r"rank (\d) of 4: (\S+)", said))
    # Exponential-2 of four: a rank, and those one and two before it.
    assert {int(rank): float(value) for rank, value in found.items()} == {
        rank: pytest.approx(sum((rank - back) % 4 for back in (0, 1, 2)) / 3, abs=1e-4) for rank in range(4)
    }
