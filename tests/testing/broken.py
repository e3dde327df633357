"""Models that each break one promise, and the law that is about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal

import scm
from scm.exact import Joint, Table

KINDS: dict[str, tuple[str, Callable[[], Any]]] = {}


def breaks(law: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Register a maker of a model, or of a context with a model, that breaks ``law``."""

    def add(make: Callable[[], Any]) -> Callable[[], Any]:
        KINDS[make.__name__] = (law, make)
        return make

    return add


def chain(**mechanisms: Any) -> scm.SCM:
    usual = {
        "A": scm.Root.normal(),
        "B": scm.Additive(lambda A: 2 * A),
        "C": scm.Additive(lambda B: B - 1),
    }
    return scm.SCM("A -> B -> C", **{**usual, **mechanisms})


class Reseeding(scm.SCM):
    """Other noise under every act."""

    def _with_acts(self, acts):
        view = super()._with_acts(acts)
        streams = {node: f"{stream}'" for node, stream in view.program.streams.items()}
        return replace(view, program=replace(view.program, streams=streams))


@breaks("noise ignores acts")
def noise_redrawn_under_an_act():
    return Reseeding(
        "A -> B; C", A=scm.Root.normal(), B=scm.Linear({"A": 1.0}), C=scm.Root.normal()
    )


@breaks("non-descendants unchanged")
def noise_redrawn_under_an_act_shows_elsewhere():
    return noise_redrawn_under_an_act()


class NoisierUnderAnAct(scm.Additive):
    """Takes a parent that is alike in all units for an act, and turns its noise round."""

    def forward(self, parents, noise):
        acted = all(bool((v == v.flatten()[0]).all()) for v in parents.values())
        return self.mean(parents) + self.law.push(-noise if acted else noise)


@breaks("consistency")
def noise_that_depends_on_the_act():
    return chain(B=NoisierUnderAnAct(lambda A: 2 * A))


class Leak:
    """A side channel, closed while the engine probes a new model."""

    open = False
    left: Tensor | None = None

    def into(self, like: Tensor) -> Tensor | float:
        fits = self.open and self.left is not None and self.left.shape == like.shape
        return 3 * self.left if fits else 0.0


@breaks("non-descendants unchanged")
def reads_a_non_parent():
    """C reads A, which is none of its parents."""
    leak = Leak()

    def listens(A: Tensor) -> Tensor:
        leak.left = A
        return 2 * A

    model = scm.SCM(
        "A -> B; X -> C; B, C -> D",
        A=scm.Root.normal(),
        X=scm.Root.normal(),
        B=scm.Additive(listens),
        C=scm.Additive(lambda X: X + leak.into(X)),
        D=scm.Linear({"B": 1.0, "C": 1.0}),
    )
    leak.open = True
    return model


class LeakyLinear(scm.Linear):
    """Linear, and leaves its parent behind, or adds what was left."""

    leak: Leak
    listens = False

    def mean(self, parents):
        out = super().mean(parents)
        if self.listens:
            self.leak.left = next(iter(parents.values()))
            return out
        return out + self.leak.into(out)


@breaks("Markov, sampled")
def reads_a_non_parent_linearly():
    b, c = LeakyLinear({"A": 1.0}), LeakyLinear({"X": 1.0})
    b.leak = c.leak = Leak()
    b.listens = True
    model = scm.SCM(
        "A -> B; X -> C; B, C -> D",
        A=scm.Root.normal(),
        X=scm.Root.normal(),
        B=b,
        C=c,
        D=scm.Linear({"B": 1.0, "C": 1.0}),
    )
    b.leak.open = True
    return model


def discrete() -> dict[str, scm.Tabular]:
    return {
        "C": scm.Tabular([0.3, 0.7]),
        "X": scm.Tabular([[0.2, 0.8], [0.6, 0.4]]),
        "Y": scm.Tabular([[[0.9, 0.1], [0.3, 0.7]], [[0.5, 0.5], [0.2, 0.8]]]),
    }


class WithJoint(scm.SCM):
    """A model whose exact joint is another class."""

    joint: type[Joint]

    def exact(self):
        joint = super().exact()
        joint.__class__ = self.joint
        return joint


class Unnormalised(Joint):
    """Forgets to normalise under an act."""

    def _sums(self, keep, fixed, acts):
        return super()._sums(keep, fixed, acts) * (0.9 if len(acts) else 1.0)


class Conditioning(Joint):
    """Takes doing for seeing."""

    def table(self, *names, do=None, given=None) -> Table:
        do, given = self._domain.act(do, "do"), self._domain.act(given, "given")
        return super().table(*names, given={**do, **given})

    def prob(self, outcome, do=None, given=None):
        return super().prob(outcome, given={**(do or {}), **(given or {})})


def with_joint(joint: type[Joint], spec: str = "C -> X, Y; X -> Y") -> scm.SCM:
    model = WithJoint(spec, **discrete())
    model.__class__ = type("Broken", (WithJoint,), {"joint": joint})
    return model


@breaks("probabilities sum to one")
def not_normalised_under_do():
    return with_joint(Unnormalised)


@breaks("truncated factorisation")
def not_normalised_is_no_product():
    return with_joint(Unnormalised)


@breaks("truncated factorisation")
def seeing_for_doing():
    return with_joint(Conditioning)


@breaks("back door")
def seeing_for_doing_is_no_adjustment():
    return with_joint(Conditioning)


@breaks("do-calculus, rule 3")
def seeing_for_doing_moves_causes():
    return with_joint(Conditioning)


@breaks("identification")
def seeing_for_doing_is_no_estimand():
    return with_joint(Conditioning)


class Inflated(Joint):
    """Overstates every effect."""

    def prob(self, outcome, do=None, given=None):
        found = super().prob(outcome, do, given)
        return 1 - 0.01 * (1 - found) if do else found


@breaks("natural bounds")
def effect_out_of_bounds():
    return with_joint(Inflated)


class WrongTable(scm.Tabular):
    """Samples another law than its table says."""

    def table(self):
        return self.probs.flip(-1)


@breaks("samples follow the joint")
def table_that_is_not_sampled():
    return scm.SCM("C -> X, Y; X -> Y", **{**discrete(), "C": WrongTable([0.3, 0.7])})


def pixels(**macros: scm.Macro) -> scm.SCM:
    return scm.SCM(
        "H -> I; H, I -> T; I => C, S",
        latent=["H"],
        H=scm.Root.normal(),
        I=scm.Additive(lambda H: H * torch.ones(3), Normal(torch.zeros(3), 1.0)),
        T=scm.Additive(lambda H, I: H + I[..., 0]),  # noqa: E741
        **macros,
    )


@breaks("writers write")
def manipulator_that_changes_the_spurious_correlate():
    def write(i, c):
        return i + (c - i[..., :1])  # moves every pixel, S's too

    macro = scm.Macro(lambda i: i[..., 0], write, keeps=("S",))
    return pixels(C=macro, S=scm.Macro(lambda i: i[..., 1]))


@breaks("writers write")
def writer_that_fails():
    def write(i, c):
        return torch.cat([c.clamp(max=0.5).expand(*i.shape[:-1], 1), i[..., 1:]], -1)

    return pixels(C=scm.Macro(lambda i: i[..., 0], write), S=scm.Macro(lambda i: i[..., 1]))


class RestlessView(scm.SCM):
    """man also moves the hidden cause."""

    def man(self, values=None, /, **keywords):
        return self.do({**(values or {}), **keywords, "H": 1.0})


@breaks("man leaves the others alone")
def manipulation_that_moves_the_world():
    model = pixels(C=scm.Macro(lambda i: i[..., 0]), S=scm.Macro(lambda i: i[..., 1]))
    model.__class__ = RestlessView
    return model


class StaleReader(scm.Macro):
    """A reader that changes its mind when it is asked again."""

    asked = 0

    def forward(self, parents, noise):
        self.asked += 1
        return super().forward(parents, noise) + (self.asked > 10) * self.asked


@breaks("macro-variables are read")
def reader_that_changes_its_mind():
    return pixels(C=StaleReader(lambda i: i[..., 0]), S=scm.Macro(lambda i: i[..., 1]))


class OwnDice(scm.Additive):
    """Throws dice of its own once the probe is over."""

    def forward(self, parents, noise):
        out = super().forward(parents, noise)
        return out + torch.rand(out.shape, generator=self.dice) if self.rolling else out

    rolling = False


@breaks("a seed is a population")
def randomness_of_its_own():
    mechanism = OwnDice(lambda A: 2 * A)
    model = chain(B=mechanism)
    mechanism.dice, mechanism.rolling = torch.Generator().manual_seed(0), True
    return model


@breaks("units do not depend on n")
def batch_statistics():
    def centred(A: Tensor) -> Tensor:
        return A - A.mean(-1, keepdim=True) if A.shape[-1] > 4 else A

    return chain(B=scm.Additive(centred))


class WrongWayBack(scm.Additive):
    def abduct(self, value, parents, fresh):
        return super().abduct(value, parents, fresh) * 1.5


@breaks("abduct then sample returns the data")
def wrong_abduct():
    return chain(B=WrongWayBack(lambda A: 2 * A))


@breaks("abducted units are the units")
def wrong_noise_with_the_right_value():
    """f(pa, u) is not one to one in u: u = 0 gives what was seen, and another world tells."""

    def f(A: Tensor, noise: Tensor) -> Tensor:
        return torch.where(A > 100, noise, noise.abs())

    odd = scm.Structural(f, noise=Normal(0.0, 1.0), inverse=lambda A, value: value)
    follows = scm.Structural(lambda B, A: B * A, noise=None)
    return scm.SCM("A -> B; A, B -> C", A=scm.Root.normal(0.0, 200.0), B=odd, C=follows)
