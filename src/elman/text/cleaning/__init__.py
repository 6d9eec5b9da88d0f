"""Texts in one form: Unicode's canonical one for all, and the cleaning that a user asks for.

`Steps` says what is asked for, a `Cleaner` does it; `steps.STEPS` names every step.
"""

from elman.text.cleaning.cleaner import Cleaner as Cleaner
from elman.text.cleaning.cleaner import load_cleaner as load_cleaner
from elman.text.cleaning.forms import is_normal as is_normal
from elman.text.cleaning.forms import normalise as normalise
from elman.text.cleaning.forms import without_surrogates as without_surrogates
from elman.text.cleaning.steps import PRESETS as PRESETS
from elman.text.cleaning.steps import STEPS as STEPS
from elman.text.cleaning.steps import Steps as Steps
