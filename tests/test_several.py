"""Several classifiers as one, and what a last fit on all data takes from those before."""

import json
from pathlib import Path

import numpy as np
import pytest

import elman
import tiny
from elman.tasks.classify import task
from elman.tasks.classify.mixture import fit_weights
from elman.tasks.classify.options import ClassifyOptions
from elman.training.run import run


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("names.tsv").write_text(tiny.LINES, encoding="utf-8")


@pytest.mark.parametrize("linear", ["on", "off"])
def test_a_mean_answers_with_the_mean_of_its_networks(here, linear):
    options = {"split": (0.8, 0.1, 0.1), "linear": linear}
    together = tiny.train("names.tsv", seeds=2, out="both", **options)
    alone = [tiny.train("names.tsv", **options).model]
    # Seed 1 on the same parts.
    parts = together.split
    given = ClassifyOptions(**tiny.OPTIONS, linear=linear, seed=1)
    alone.append(run(task, parts, given).model)
    texts = [*tiny.NAMES, "ёж", ""]
    mean = np.mean([np.exp(one.opinions(texts)["network"]) for one in alone], axis=0)
    opinions = together.model.opinions(texts)
    np.testing.assert_allclose(np.exp(opinions["network"]), mean, rtol=1e-5)
    for kind in {*opinions} - {"network"}:
        np.testing.assert_array_equal(opinions[kind], alone[0].opinions(texts)[kind])
    # How much they count is chosen anew, on the validation part.
    held_out = alone[0].held_out
    mean = np.mean([np.exp(one.network_opinions(held_out.texts)) for one in alone], axis=0)
    said = {"network": np.log(mean), **held_out.linear}
    weights = fit_weights(list(said), list(said.values()), held_out.truth.argmax(axis=1))
    np.testing.assert_allclose(together.model.weights, weights, rtol=1e-3)
    loaded = elman.load("both")
    assert len(loaded.module.networks) == 2
    assert loaded.predict_proba(texts).tobytes() == together.model.predict_proba(texts).tobytes()
    for one, model in zip(together.report.trainings, alone, strict=True):
        assert one.metrics == model.evaluate(parts.test).metrics


def test_a_last_fit_counts_its_models_as_was_chosen_on_validation(here):
    first = tiny.train("names.tsv")
    last = tiny.train("names.tsv", final=True)
    assert last.model.weights == pytest.approx(first.model.weights)
    folds = tiny.train("names.tsv", folds=3, final=True)
    chosen = [model.weights for model, _ in folds.judged]
    assert folds.model.weights == pytest.approx(np.mean(chosen, axis=0))


@pytest.mark.parametrize(
    "more", [{"seeds": 2}, {"seeds": 2, "keep": "best"}, {"folds": 2}, {"final": True}]
)
def test_n_grams_alone_can_do_it_all(here, more):
    more = {**more, "final": True}
    trained = elman.train("names.tsv", model="ngrams", out="model", **more)
    assert trained.model.network is None
    texts = tiny.NAMES
    assert elman.load("model").predict(texts) == trained.model.predict(texts)
    told = json.loads(Path("model/metrics.json").read_bytes())
    assert told["final"]["count"] == len(tiny.NAMES)
    assert "saw all 56 examples" in Path("model/README.md").read_text(encoding="utf-8")
