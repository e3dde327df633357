"""Audits: what a pretrained generator has learnt to be a cause."""

from scm.discovery.additive_noise import AdditiveNoise, additive_noise
from scm.discovery.attributes import Attribute
from scm.discovery.audit import audit
from scm.discovery.baselines import (
    LinearGraph,
    direct_lingam,
    notears,
    structural_hamming_distance,
)
from scm.discovery.cage import CageAudit, baseline_columns, cage_paper
from scm.discovery.diagnosis import Diagnosis, diagnose
from scm.discovery.direction import direction
from scm.discovery.findings import Audit
from scm.discovery.gate import Gate, gate, unit_effects
from scm.discovery.gauge import Turn, turned
from scm.discovery.independence import IndependenceTest, chi_square_test, hsic_test
from scm.discovery.logistic import permutation_refits
from scm.discovery.mmd import mmd, mmd_curve
from scm.discovery.multiplicity import benjamini_hochberg, holm
from scm.discovery.pairwise import METHODS, Pairwise, pairwise
from scm.discovery.readings import latent_model, readings, units
from scm.discovery.report import audit_report, write_report
from scm.discovery.responses import Responses, responses
from scm.discovery.steepness import Steepness
from scm.discovery.verdicts import Direction, Rules, verdict

__all__ = [
    "METHODS",
    "AdditiveNoise",
    "Attribute",
    "Audit",
    "CageAudit",
    "Diagnosis",
    "Direction",
    "Gate",
    "IndependenceTest",
    "LinearGraph",
    "Pairwise",
    "Responses",
    "Rules",
    "Steepness",
    "Turn",
    "additive_noise",
    "audit",
    "audit_report",
    "baseline_columns",
    "benjamini_hochberg",
    "cage_paper",
    "chi_square_test",
    "diagnose",
    "direct_lingam",
    "direction",
    "gate",
    "holm",
    "hsic_test",
    "latent_model",
    "mmd",
    "mmd_curve",
    "notears",
    "pairwise",
    "permutation_refits",
    "readings",
    "responses",
    "structural_hamming_distance",
    "turned",
    "unit_effects",
    "units",
    "verdict",
    "write_report",
]
