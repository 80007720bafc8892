"""L3. House rules: what it is worth that an agent self-edits after each interaction, beside keeping notes."""

from selfedit.learn.house_rules.experiment import EXAM, FORM, RECURRENCE, UNTAUGHT, HouseRules, lives_of
from selfedit.learn.house_rules.settings import Arm, HouseRulesConfig

__all__ = ["EXAM", "FORM", "RECURRENCE", "UNTAUGHT", "Arm", "HouseRules", "HouseRulesConfig", "lives_of"]
