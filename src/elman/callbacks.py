"""Who is told of a run as it goes: what ``elman.train(callbacks=[...])`` takes, and a ready one.

A callback is a function, called with each `Epoch` that is done, or an object with any of the
methods of `Callback`. Several are told in their order. What one raises ends the run and goes on to
the caller; where ``out`` was given, the last whole epoch and the best weights are kept beside it
and ``resume=True`` goes on from there. One that raises KeyboardInterrupt stops the training as
Ctrl-C does: the best weights are judged, saved and returned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elman.errors import ConfigError
from elman.training.history import Epoch

if TYPE_CHECKING:
    from elman.data.splits import Split
    from elman.lab.compare import Run
    from elman.training.fitting import Fitted
    from elman.training.task import Learner, Task
    from elman.training.trainer import Progress

__all__ = ["Callback", "Epoch", "TensorBoard"]


class Callback:
    """What a callback can be told; any other class with some of these methods does as well."""

    def on_training(self, name: str, number: int, count: int) -> None:
        """One of several trainings is next: ``seed 1``, ``fold 2``, ``all data``; from 1."""

    def on_preparing(self, share: float, text: str) -> None:
        """Something is learnt before training, such as word vectors: how far it is, from 0 to 1."""

    def begin(self, task: Task, split: Split[Any], learner: Learner) -> None:
        """The data are read and training begins; ``learner.options`` are settled."""

    def on_batch(self, progress: Progress) -> None:
        """One more update is done."""

    def on_epoch(self, epoch: Epoch) -> None:
        """One more epoch is done, and kept for ``resume``."""

    def end(self, fitted: Fitted) -> None:
        """Training has ended; the test scores and baselines are next."""

    def on_run(self, task: Task, run: Run) -> None:
        """One of the runs of ``elman.compare`` is trained and judged."""

    def close(self) -> None:
        """All is over, however it ended; told to who was told of ``on_preparing`` or ``begin``."""


Methods = dict[str, Callable[..., object]]
METHODS = tuple(name for name in vars(Callback) if not name.startswith("_"))


class Callbacks:
    """Several callbacks as one, each told in turn; a context that closes them."""

    def __init__(self, callbacks: Iterable[object], *, first: Iterable[object] = ()):
        """Check each callback; ``first`` are told before them.

        Raises:
            ConfigError: one is neither a function nor has any of the methods.
        """
        if not isinstance(callbacks, Iterable) or isinstance(callbacks, str):
            raise ConfigError(f"callbacks is {callbacks!r}; give a list of callbacks")
        self._known = [_checked(one, "first") for one in first]
        self._known += [_checked(one, f"callbacks[{i}]") for i, one in enumerate(callbacks)]
        self._begun: list[Methods] = []

    def __enter__(self) -> Callbacks:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as stack:  # all are closed, even if one raises
            while self._begun:
                known = self._begun.pop(0)
                if "close" in known:
                    stack.callback(known["close"])

    def _tell(self, method: str, *what: object) -> None:
        for known in self._known:
            if method in known:
                known[method](*what)

    def begin(self, task: Task, split: Split[Any], learner: Learner) -> None:
        """Tell all that training begins."""
        for known in self._known:
            if "begin" in known:
                known["begin"](task, split, learner)
            self._has_begun(known)

    def on_preparing(self, share: float, text: str) -> None:
        """Tell all of what is learnt before training."""
        for known in self._known:
            if "on_preparing" in known:
                known["on_preparing"](share, text)
                self._has_begun(known)

    def _has_begun(self, known: Methods) -> None:
        if known not in self._begun:
            self._begun.append(known)

    def on_training(self, name: str, number: int, count: int) -> None:
        """Tell all that one of several trainings is next."""
        self._tell("on_training", name, number, count)

    def on_batch(self, progress: Progress) -> None:
        """Tell all of an update."""
        self._tell("on_batch", progress)

    def on_epoch(self, epoch: Epoch) -> None:
        """Tell all of an epoch."""
        self._tell("on_epoch", epoch)

    def end(self, fitted: Fitted) -> None:
        """Tell all that training has ended."""
        self._tell("end", fitted)

    def on_run(self, task: Task, run: Run) -> None:
        """Tell all that a run of a comparison is judged."""
        self._tell("on_run", task, run)


def _checked(callback: Any, name: str) -> Methods:
    """Return the methods of one callback; those of a function are ``on_epoch`` alone."""
    if isinstance(callback, type):
        raise ConfigError(f"{name} is the class {callback.__name__}; give one of its objects")
    known = {name: getattr(callback, name) for name in METHODS if hasattr(callback, name)}
    if not known and callable(callback):
        return {"on_epoch": callback}
    if not known:
        raise ConfigError(
            f"{name} is {callback!r}; give a function of an epoch, or an object with any of the "
            f"methods {', '.join(METHODS)}"
        )
    return known


class TensorBoard(Callback):
    """Writes losses and scores where TensorBoard reads them.

    Each run gets a folder of its own in ``folder``, called after its cell and seed, so that
    ``tensorboard --logdir FOLDER`` shows runs beside each other.

    Args:
        folder: where the runs stand; made where it is missing.

    Raises:
        ConfigError: the package tensorboard is not installed.
    """

    def __init__(self, folder: str | Path):
        if find_spec("tensorboard") is None:
            raise ConfigError(
                "TensorBoard needs the package tensorboard; "
                "install it with pip install 'elman[notebooks]'"
            )
        self.folder = Path(folder)
        self._writer: Any = None

    def begin(self, task: Task, split: Split[Any], learner: Learner) -> None:
        """Open the folder of one run."""
        from torch.utils.tensorboard import SummaryWriter

        self.close()
        cells = "-".join(cell.name for cell in learner.options.cells().values())
        place = _free(self.folder, f"{cells}-seed-{learner.options.seed}")
        self._writer = SummaryWriter(str(place))

    def on_epoch(self, epoch: Epoch) -> None:
        """Write the scores of an epoch."""
        scores = {"score": epoch.score, **epoch.metrics}
        values = {
            "training/loss": epoch.loss,
            "training/learning_rate": epoch.learning_rate,
            "training/per_second": epoch.per_second,
            **{f"validation/{name}": score for name, score in scores.items() if score is not None},
        }
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch.epoch)
        self._writer.flush()  # who looks while it trains sees this epoch

    def close(self) -> None:
        """Close the file of the run."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _free(folder: Path, name: str) -> Path:
    """Return the first of NAME, NAME-2, ... that is not there."""
    place, number = folder / name, 1
    while place.exists():
        number += 1
        place = folder / f"{name}-{number}"
    return place
