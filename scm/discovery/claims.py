"""What an audit can and cannot claim, in the words of its page (HTML)."""

__all__ = ["CAN", "CANNOT"]

CAN = (
    "<strong>Association:</strong> whether two attributes go together in what the generator makes, "
    "by a permutation test that is adjusted for the number of pairs.",
    "<strong>Responses:</strong> what one declared move of the latent, along one attribute's own "
    "gradient, does to the readings of the others, with 95% limits and with the change that the "
    "move achieved.",
    "<strong>Arrows, on an assumption:</strong> that noise is additive and that no common cause is "
    "hidden. Where such a model fits one way and clearly fails the other, the arrow is earned, "
    "unless it fits both ways once the margins are normal: then the scales alone would tell. An "
    "arrow may stand for a path through other attributes.",
)
"""What it can say."""

CANNOT = (
    "<strong>It says nothing of the world.</strong> It speaks of this generator and of what these "
    "heads and measures read.",
    "<strong>A move is no do().</strong> Infinitely many moves change an attribute as much, and "
    "each may change the others differently.",
    "<strong>Latent geometry has no direction.</strong> The same images with the same "
    "probabilities come from a generator whose latent is turned, where responses are others; a "
    "verdict that flips under a turn is flagged.",
    "<strong>Delta-tau is no direction.</strong> Its sign follows which of two heads is steeper, "
    "by regularisation, class balance or label noise, whatever causes what. It is shown as the "
    "paper has it, beside what steepness alone predicts.",
    "<strong>None is no proof of absence,</strong> and <strong>abstain</strong> is no verdict: "
    "the evidence did not decide.",
    "<strong>The tests of additive noise are not adjusted</strong> for the number of pairs; their "
    "p-values decide with fixed margins, and are no error rates of the verdicts.",
)
"""What it cannot say."""
