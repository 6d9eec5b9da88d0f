"""The unit that knows: which units of a language model carry a label, and what they do."""

from elman.lab.units.finding import FoundUnits, find_units
from elman.lab.units.report import LabelUnits, ProbeScore, Shuffle, UnitReport, UnitScore
from elman.lab.units.showing import UnitTrace, show_unit
from elman.lab.units.states import Unit, check_unit, language_model, read_units, units_of
from elman.lab.units.steering import Steering, Written, steer

__all__ = [
    "FoundUnits",
    "LabelUnits",
    "ProbeScore",
    "Shuffle",
    "Steering",
    "Unit",
    "UnitReport",
    "UnitScore",
    "UnitTrace",
    "Written",
    "check_unit",
    "find_units",
    "language_model",
    "read_units",
    "show_unit",
    "steer",
    "units_of",
]
