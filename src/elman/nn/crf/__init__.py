"""A linear-chain conditional random field over ragged batches.

The tags y of a row have the probability

    p(y) = exp(start[y_1] + sum_t scores[t, y_t] + sum_t transitions[y_t-1, y_t] + end[y_T]) / Z

where Z is the sum over all sequences of tags (Lafferty et al. 2001; over a recurrent network:
Lample et al. 2016, "Neural Architectures for Named Entity Recognition", section 2.2). Training,
marginals and spans rest on sums over sequences, which one pass in each direction gives (Rabiner
1989, section III). Both passes run side by side in one loop: the second reads rows from their end.

All of it is worked out in float64, whatever the scores are: a likelihood is a small difference of
two large sums. So the passes can mostly run on probabilities themselves, a matrix product a step,
scaled now and then; where the numbers are too far apart for that, they run on logarithms.
"""

from elman.nn.crf.layer import CRF
from elman.nn.crf.posterior import Posterior
from elman.nn.crf.potentials import UNKNOWN

__all__ = ["CRF", "UNKNOWN", "Posterior"]
