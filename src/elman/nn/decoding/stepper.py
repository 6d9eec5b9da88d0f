"""What a model must be able to do to write, and what is checked of those who ask it to."""

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from elman.errors import ConfigError

Ids = NDArray[np.int64]


class Stepper(Protocol):
    """A model that reads one token a row and scores the next one."""

    def step(self, ids: Ids, state: Any) -> tuple[NDArray[np.floating[Any]], Any]:
        """Read one token a row.

        Args:
            ids: (B,), the tokens.
            state: where the B rows are; it stays valid, to go back to.

        Returns:
            The next token's logits (B, V), in memory that no later step writes to, and the state
            after the token.
        """
        ...

    def select(self, state: Any, rows: Ids) -> Any:
        """The state of these rows in this order; one may be there several times, or not at all."""
        ...


def first_ids(first: Any) -> Ids:
    """The first tokens as (B,) of int64.

    Raises:
        ConfigError: they are something else.
    """
    ids = np.asarray(first)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise ConfigError(
            f"first has shape {ids.shape} of {ids.dtype}; give one token id a row, (B,) of int64"
        )
    return ids.astype(np.int64)


def whole_number(name: str, value: object, least: int = 1) -> None:
    """Refuse what is no whole number of at least so much.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name} is {value!r}; it must be a whole number of at least {least}")


def token_ids(name: str, ids: int | Iterable[int]) -> tuple[int, ...]:
    """One id or several, each once, in order.

    Raises:
        ConfigError: one is no whole number of at least 0.
    """
    given = [ids] if isinstance(ids, int | np.integer) else list(ids)
    for one in given:
        if not isinstance(one, int | np.integer) or one < 0:
            raise ConfigError(f"{name} holds {one!r}; it must hold token ids, 0 and up")
    return tuple(sorted({int(one) for one in given}))


def check_logits(logits: NDArray[Any], rows: int, named: dict[str, tuple[int, ...]]) -> None:
    """Refuse logits of another shape, and ids that are none of their tokens.

    Raises:
        ConfigError: either.
    """
    if logits.ndim != 2 or len(logits) != rows or not logits.shape[1]:
        raise ConfigError(
            f"the model gave logits of shape {logits.shape}; they must be ({rows}, V)"
        )
    for name, ids in named.items():
        if ids and ids[-1] >= logits.shape[1]:
            raise ConfigError(
                f"{name} holds {ids[-1]}, and the model's {logits.shape[1]} tokens end with "
                f"{logits.shape[1] - 1}"
            )
