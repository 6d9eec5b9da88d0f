"""Scores of several parts as one, and of answers that count so many times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.tasks.tag.metrics import CONFUSIONS, MISTAKES, Confusion, Kind, Tagging
from elman.tasks.tag.spans import is_judged
from elman.text.tag_schemes import recognise, spans

_SHARES = ("accuracy", "calibration_error")


def pooled(parts: Sequence[Tagging]) -> Tagging:
    """Return the scores of several parts as one, each sentence once.

    Counts are added up, and what follows from them is worked out anew; the calibration error is the
    mean of the parts', by their sizes.
    """
    first = parts[0]
    tokens = sum(one.tokens for one in parts)
    kinds = {name: _added([one.kinds[name] for one in parts if name in one.kinds])
             for name in dict.fromkeys(name for one in parts for name in one.kinds)}  # fmt: skip
    fields: dict[str, Any] = {
        name: sum(getattr(one, name) * one.tokens for one in parts) / max(tokens, 1)
        for name in _SHARES
    }
    unknown = sum(one.unknown for one in parts)
    for name, sizes in (
        ("known_accuracy", [one.tokens - one.unknown for one in parts]),
        ("unknown_accuracy", [one.unknown for one in parts]),
    ):
        pairs = [(getattr(one, name), size) for one, size in zip(parts, sizes, strict=True)]
        known = [(value, size) for value, size in pairs if value is not None]
        total = sum(size for _, size in known)
        fields[name] = sum(value * size for value, size in known) / total if total else None
    if first.f1 is not None:
        whole = _added([kind for one in parts for kind in one.kinds.values()])
        fields |= {"precision": whole.precision, "recall": whole.recall, "f1": whole.f1}
    confusions: Counter[tuple[str, str]] = Counter()
    for one in parts:
        for pair in one.confusions:
            confusions[pair.true, pair.predicted] += pair.count
    mistakes = sorted((m for one in parts for m in one.mistakes), key=lambda m: -m.count)
    return Tagging(
        count=sum(one.count for one in parts),
        tokens=tokens,
        unknown=unknown,
        kinds=kinds,
        confusions=[Confusion(*pair, n) for pair, n in confusions.most_common(CONFUSIONS)],
        mistakes=mistakes[:MISTAKES],
        skipped=sum(one.skipped for one in parts),
        **fields,
    )


def _added(kinds: Sequence[Kind]) -> Kind:
    """Return the scores of the same kind in several parts together."""
    right = sum(one.recall * one.support for one in kinds)
    true, answered = (sum(getattr(one, name) for one in kinds) for name in ("support", "answered"))
    precision, recall = (right / n if n else 0.0 for n in (answered, true))
    f1 = 2 * right / (answered + true) if right else 0.0
    return Kind(precision, recall, f1, true, answered)


def resampled(
    rows: Sequence[Mapping[str, Any]], weights: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Return the accuracy, and of spans the F1, of sentences that count so many times each.

    Args:
        rows: what ``TaggerModel.predictions`` returned.
        weights: (R, rows) how often each counts, in each of R drawings.
    """
    right, judged = (np.array([row[key] for row in rows], float) for key in ("right", "judged"))
    metrics = {}
    truth, said = ([row[key] for row in rows] for key in ("tags", "predicted"))
    scheme = recognise(truth)
    if scheme is not None:
        pairs = [
            (
                set(spans(_known(t), scheme)),
                {one for one in spans(s, scheme) if is_judged(one, _unknown(t))},
            )
            for t, s in zip(truth, said, strict=True)
        ]
        both, either = (
            weights @ np.array(values, float)
            for values in (
                [len(t & s) for t, s in pairs],
                [len(t) + len(s) for t, s in pairs],
            )
        )
        metrics["f1"] = 2 * both / np.maximum(either, 1)
    metrics["accuracy"] = (weights @ right) / np.maximum(weights @ judged, 1)
    return metrics


def _unknown(tags: Sequence[str | None]) -> set[int]:
    return {i for i, tag in enumerate(tags) if tag is None}


def _known(tags: Sequence[str | None]) -> list[str]:
    return ["O" if tag is None else tag for tag in tags]
