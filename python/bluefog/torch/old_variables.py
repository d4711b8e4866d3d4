"""Environment variables of BlueFog 0.3 that nothing reads any more, and what there is instead.

Its others, such as ``BLUEFOG_TIMELINE``, still mean what they did; docs/configuration.md lists them.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ANSWERS", "warning_about"]

_BY_MPI = "there is neither MPI nor NCCL; BLUEFOG_TRANSPORT says what carries tensors (auto, shm or tcp)"
_BUILD_OF_NCCL = "NCCL and CUDA are not used; tensors of GPUs pass through the memory of the CPU"

ANSWERS: dict[str, str] = {
    "BLUEFOG_CYCLE_TIME": "there are no cycles to wait for; an operation starts when it is called",
    "BLUEFOG_FUSION_THRESHOLD": "optimizers lay parameters out in buckets of up to BLUEFOG_BUCKET_SIZE bytes",
    "BLUEFOG_MPI_THREAD_LEVEL": "there is no MPI; operations may be called from any thread",
    "BLUEFOG_MAX_WIN_SENT_LENGTH": "windows take transfers of any length",
    "BLUEFOG_OPS_ON_CPU": "operations always run on the CPU; tensors of GPUs are copied there and back",
    "BLUEFOG_WIN_ON_GPU": "windows are on the CPU only; create them on tensors of the CPU",
    "BLUEFOG_ALLREDUCE_BY_MPI": _BY_MPI,
    "BLUEFOG_ALLGATHER_BY_MPI": _BY_MPI,
    "BLUEFOG_BROADCAST_BY_MPI": _BY_MPI,
    "BLUEFOG_NEIGHBOR_ALLREDUCE_BY_MPI": _BY_MPI,
    "BLUEFOG_NEIGHBOR_ALLGATHER_BY_MPI": _BY_MPI,
    "BLUEFOG_WIN_OPS_BY_MPI": _BY_MPI,
    "BLUEFOG_NUM_FINALIZER_THREADS": "there are no finalizer threads, and nothing to tune instead",
    "BLUEFOG_SLEEP_USEC_FOR_WIN_PASSIVE": "nothing polls for requests to windows; each is served as it comes",
    "BLUEFOG_WITH_NCCL": _BUILD_OF_NCCL,
    "BLUEFOG_NCCL_HOME": _BUILD_OF_NCCL,
    "BLUEFOG_NCCL_INCLUDE": _BUILD_OF_NCCL,
    "BLUEFOG_NCCL_LIB": _BUILD_OF_NCCL,
    "BLUEFOG_NCCL_LINK": _BUILD_OF_NCCL,
    "BLUEFOG_CUDA_HOME": _BUILD_OF_NCCL,
    "BLUEFOG_CUDA_INCLUDE": _BUILD_OF_NCCL,
    "BLUEFOG_CUDA_LIB": _BUILD_OF_NCCL,
    "BLUEFOG_MPICXX_SHOW": "it is built without MPI; CXX names the compiler",
    "BLUEFOG_WITHOUT_PYTORCH": "the build needs no PyTorch; only importing bluefog.torch does",
    "BLUEFOG_WITH_TENSORFLOW": "there is no front end for TensorFlow",
    "BLUEFOG_WITHOUT_TENSORFLOW": "there is no front end for TensorFlow that could be left out",
}


def warning_about(environment: Mapping[str, str]) -> str | None:
    """One text about all variables of ``ANSWERS`` that are set; None if none is."""
    found = [name for name in ANSWERS if name in environment]
    if not found:
        return None
    return "environment variables of BlueFog 0.3 without effect: " + "; ".join(
        f"{name} ({ANSWERS[name]})" for name in found
    )
