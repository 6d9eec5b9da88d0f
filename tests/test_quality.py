"""The defaults are good enough to be worth a network: minutes, so marked slow."""

import pytest

import elman

pytestmark = pytest.mark.slow


def test_surnames_beat_the_ngrams():
    # The split that `elman train surnames` makes. It was in sight while the defaults were chosen;
    # on others accuracy is about a tie, so this holds the defaults where they are, no more.
    report = elman.train("surnames").report
    ngrams = report.baselines[-1]
    assert report.test.accuracy > ngrams.test.accuracy
    assert report.test.macro_f1 > ngrams.test.macro_f1


def test_russian_tweets_beat_the_ngrams(shared_data):
    report = elman.train(shared_data / "sentiment_ru" / "rusentitweet_train.csv").report
    ngrams = report.baselines[-1]
    assert report.test.accuracy > ngrams.test.accuracy
    assert report.test.macro_f1 > ngrams.test.macro_f1
