"""A picture of words: near each other where their vectors are alike.

Imported where a picture is drawn: matplotlib takes a moment to load.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Literal

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from numpy.typing import NDArray

from elman.errors import ConfigError
from elman.text.vectors.table import Vectors
from elman.training.figures import Picture

Projection = Literal["pca", "tsne"]
Points = NDArray[np.float64]
Box = tuple[float, float, float, float]  # left, bottom, right, top, in points

MOST = 500
"""Words on a picture; more cannot be read."""
_GAP = 3.0  # points between a dot and its word
_FAR = (0.0, 8.0, 18.0, 30.0)  # points by which a word is moved away where others stand


def draw(
    vectors: Vectors, words: Sequence[str], *, projection: Projection = "pca", seed: int = 0
) -> Picture:
    """Draw words in two dimensions.

    Args:
        vectors: of which each word has one.
        words: what is drawn; each once.
        projection: ``pca``, the plane in which they differ most, or ``tsne``, which keeps near ones
            together (van der Maaten and Hinton 2008).
        seed: of t-SNE.

    Returns:
        A figure with a dot and its word for each.

    Raises:
        ConfigError: there are too few words, or too many.
        WordError: a word has no vector.
    """
    words = list(dict.fromkeys(words))
    if not 3 <= len(words) <= MOST:
        raise ConfigError(f"{len(words)} words make no map; give 3 to {MOST}")
    points, said = project(np.stack([vectors[word] for word in words]), projection, seed)
    figure = Picture(figsize=(9, 7), layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.scatter(points[:, 0], points[:, 1], s=14, color="tab:blue", alpha=0.7, linewidths=0)
    axes.margins(0.08)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(f"{len(words)} words; {said}", fontsize=9, color="grey")
    canvas.draw()  # settles where the axes are
    _label(axes, canvas, points, words)
    return figure


def project(matrix: Any, projection: Projection, seed: int) -> tuple[Points, str]:
    """Return points (words, 2) and what they are, for the title.

    Args:
        matrix: (words, D).
        projection: how.
        seed: of t-SNE.
    """
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    unit = matrix / np.where(norms > 0, norms, 1)  # the angle counts, as everywhere with words
    if projection == "tsne":
        from sklearn.manifold import TSNE

        perplexity = min(30.0, (len(unit) - 1) / 3)
        init: Any = "pca" if min(unit.shape) > 1 else "random"
        made = TSNE(2, perplexity=perplexity, init=init, random_state=seed % 2**32)
        return np.asarray(made.fit_transform(unit), dtype=np.float64), "t-SNE"
    from sklearn.decomposition import PCA

    made = PCA(min(2, *unit.shape), svd_solver="full")
    points = made.fit_transform(unit)
    points = np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    share = float(np.nan_to_num(made.explained_variance_ratio_).sum())
    return points, f"principal components, {share:.0%} of the variance"


def _label(axes: Any, canvas: Any, points: Points, words: Sequence[str]) -> None:
    """Write each word beside its dot, where it covers as little as may be."""
    scale = 72 / axes.figure.dpi
    dots = axes.transData.transform(points) * scale
    frame = axes.get_window_extent()
    inside = tuple(edge * scale for edge in (frame.x0, frame.y0, frame.x1, frame.y1))
    taken: list[Box] = [(x - 2, y - 2, x + 2, y + 2) for x, y in dots]
    size = 9 if len(words) <= 60 else 7.5 if len(words) <= 150 else 6
    for i, word in enumerate(words):
        text = axes.annotate(
            word.replace("$", r"\$"), points[i], (0, 0), textcoords="offset points", fontsize=size
        )
        extent = text.get_window_extent(canvas.get_renderer())
        width, height = extent.width * scale, extent.height * scale
        places = list(_places(width, height))
        boxes = [(dots[i][0] + x, dots[i][1] + y) for x, y in places]
        costs = [
            _overlap((x, y, x + width, y + height), taken, inside) + place * 1e-3
            for place, (x, y) in enumerate(boxes)
        ]
        best = int(np.argmin(costs))
        x, y = boxes[best]
        taken.append((x, y, x + width, y + height))
        text.set_position(places[best])
        if best >= 8:  # away from its dot
            middle = (places[best][0] + width / 2, places[best][1] + height / 2)
            line = {"arrowstyle": "-", "color": "silver", "linewidth": 0.6, "shrinkB": 2}
            axes.annotate(
                "", points[i], middle, textcoords="offset points", arrowprops=line, zorder=0
            )


def _places(width: float, height: float) -> Iterator[tuple[float, float]]:
    """Yield where a word may begin, from its dot: first close to it, at the right."""
    for far in _FAR:
        for up, right in product((0, 1, -1), (1, -1, 0)):
            if not (up or right):
                continue
            x = {1: _GAP + far, -1: -_GAP - far - width, 0: -width / 2}[right]
            y = {1: _GAP + far, -1: -_GAP - far - height, 0: -height / 2}[up]
            yield x, y


def _overlap(box: Box, taken: Sequence[Box], inside: Sequence[float]) -> float:
    """Return the area that a box shares with others, and what of it leaves the frame."""
    a = np.asarray(taken)
    wide = np.minimum(a[:, 2], box[2]) - np.maximum(a[:, 0], box[0])
    high = np.minimum(a[:, 3], box[3]) - np.maximum(a[:, 1], box[1])
    shared = float((wide.clip(0) * high.clip(0)).sum())
    outside = max(0.0, inside[0] - box[0]) + max(0.0, box[2] - inside[2])
    outside += max(0.0, inside[1] - box[1]) + max(0.0, box[3] - inside[3])
    return shared + 10 * outside
