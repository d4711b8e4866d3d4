"""What a training run leaves behind: a JSON file and a picture."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Evaluation:
    """Accuracies (in 0..1) at one moment of the training, of each rank's own model and of the mean of all
    models.
    """

    step: int
    epoch: float
    seconds: float
    images: int
    ranks: list[float]
    mean_model: float


@dataclass
class Distance:
    """Root mean square over the ranks of the distance of their parameters from the mean parameters."""

    step: int
    epoch: float
    seconds: float
    value: float


@dataclass
class Run:
    """The record of a run. Seconds and samples are those of training, evaluation left out."""

    config: dict[str, Any]
    evaluations: list[Evaluation] = field(default_factory=list)
    distances: list[Distance] = field(default_factory=list)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    total: dict[str, Any] = field(default_factory=dict)

    def write_json(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    def write(self, folder: Path, picture: bool, over: str = "epoch") -> list[Path]:
        """Writes run.json and, if asked, training.png, over "epoch" or "seconds". Returns their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / "run.json"]
        self.write_json(written[0])
        if picture:
            written.append(folder / "training.png")
            self.write_picture(written[1], over)
        return written

    def write_picture(self, path: Path, over: str = "epoch") -> None:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, (upper, lower) = pyplot.subplots(2, 1, sharex=True, figsize=(7, 7), layout="constrained")
        moments = [getattr(e, over) for e in self.evaluations]
        for rank in range(self.config["ranks"]):
            accuracy = [100 * e.ranks[rank] for e in self.evaluations]
            upper.plot(moments, accuracy, linewidth=1, marker=".", label=f"rank {rank}")
        mean = [100 * e.mean_model for e in self.evaluations]
        upper.plot(moments, mean, color="black", linewidth=2, label="mean model")
        upper.set(ylabel="test accuracy (%)", ylim=(max(0, min(mean[1:] or mean) - 5), None))
        upper.legend(loc="lower right")
        upper.set_title(
            f"Fashion-MNIST, {self.config['ranks']} ranks, {self.config['topology']}, {self.config['style']}"
        )
        positive = [d for d in self.distances if d.value > 0]
        lower.plot([getattr(d, over) for d in positive], [d.value for d in positive], linewidth=1)
        if positive:
            lower.set_yscale("log")
        lower.set(ylabel="consensus distance", xlabel=over)
        for axes in (upper, lower):
            axes.grid(alpha=0.3)
        figure.savefig(path, dpi=120)
        pyplot.close(figure)
