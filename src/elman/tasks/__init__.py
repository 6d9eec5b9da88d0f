"""Tasks, one folder each. This table is all that the rest of the source knows of them.

A task's module ``task`` satisfies ``elman.training.task.Task`` and its module ``pages`` draws what
people see; both are imported when they are needed.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import Any, cast

from elman.data import source
from elman.errors import ConfigError
from elman.training.task import Pages, Task

TASKS: dict[str, str] = {
    "classify": "elman.tasks.classify.task",
    "tag": "elman.tasks.tag.task",
    "generate": "elman.tasks.generate.task",
}

DEFAULT = "classify"


def find(name: str) -> Task:
    """Return a task by name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in TASKS:
        near = difflib.get_close_matches(str(name), TASKS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(TASKS)}"
        raise ConfigError(f"there is no task {name!r}; {hint}")
    return cast(Task, import_module(TASKS[name]))


def pages(task: Task) -> Pages:
    """Return the module that draws a task's answers and scores."""
    return cast(Pages, import_module(TASKS[task.name].rpartition(".")[0] + ".pages"))


def guess(data: Any) -> Task:
    """Return the task of a built-in data set, or the one that claims a file.

    Raises:
        DataError: there is neither a file nor a data set, but one of nearly that name.
    """
    first = source.items_of(data)[0]
    dataset = source.builtin(first)
    if dataset is not None:
        return find(dataset.task)
    claiming = (task for task in map(find, TASKS) if task.claims(first))
    return next(claiming, find(DEFAULT))
