"""One mechanism or encoder of a saved model: described, and made again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from torch import Tensor, nn

from scm import mechanisms as library
from scm.errors import MechanismError, ScmError, nearest
from scm.mechanisms.encoder import Encoder
from scm.mechanisms.mechanism import Mechanism
from scm.saving import modules, paths
from scm.saving.values import GIVEN, decode, encode, is_callable

__all__ = ["Holder", "Owner", "Reading", "Writing", "named"]

Owner: TypeAlias = str | tuple[str, ...]
Holder: TypeAlias = Mechanism | Encoder

_REPLACEABLE = ("function", "module", "given")


def _classes() -> dict[str, type[Mechanism]]:
    there = {name: getattr(library, name) for name in library.__all__}
    return {n: c for n, c in there.items() if isinstance(c, type) and issubclass(c, Mechanism)}


def named(owner: Owner) -> str:
    """What messages call a node, or the encoder of some nodes."""
    return f"node {owner!r}" if isinstance(owner, str) else f"the Encoder of {owner}"


def _tensors(holder: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, those that a state_dict leaves out too."""
    return {
        **dict(holder.named_parameters(remove_duplicate=False)),
        **dict(holder.named_buffers(remove_duplicate=False)),
    }


class Writing:
    """Describes mechanisms and collects their tensors.

    Args:
        left_out: Owners whose functions are left out.

    Attributes:
        tensors: Tensors by key; one that is used twice has one key.
    """

    def __init__(self, left_out: Sequence[Owner]) -> None:
        self.left_out = left_out
        self.tensors: dict[str, Tensor] = {}
        self._keys: dict[int, str] = {}
        self._alive: list[Tensor] = []
        self._count = 0

    def entry(self, owner: Owner, holder: Holder) -> dict[str, Any]:
        """Description of one holder.

        Raises:
            MechanismError: If it cannot be described, with the way out.
        """
        prefix = str(self._count)
        self._count += 1
        there = _tensors(holder)
        return {
            "tensors": {n: self._put(t, f"{prefix}.{n}") for n, t in there.items()},
            "frozen": [
                n for n, t in there.items() if isinstance(t, nn.Parameter) and not t.requires_grad
            ],
            **self._made_by(owner, holder, prefix),
        }

    def _put(self, tensor: Tensor, wanted: str) -> str:
        key = self._keys.get(id(tensor))
        if key is None:
            key = self._keys[id(tensor)] = wanted
            self._alive.append(tensor)  # its id is not to be used again
            self.tensors[key] = tensor.detach().cpu()
        return key

    def _made_by(self, owner: Owner, holder: Holder, prefix: str) -> dict[str, Any]:
        omit = owner in self.left_out
        try:
            cls = self._class(holder)
            config = holder.config()
        except ScmError as error:
            if omit and isinstance(holder, Mechanism):
                return {"class": None, "config": {}}
            raise MechanismError(
                f"the {type(holder).__name__} of {named(owner)} cannot be saved: {error}. Make it "
                "so, or leave it out: " + _way_out(owner, "mechanism")
            ) from error
        arguments: dict[str, Any] = {}
        for name, value in config.items():
            own = is_callable(value) and not (
                isinstance(value, nn.Module) and modules.is_known(value)
            )
            if own and omit:
                arguments[name] = GIVEN
                continue
            try:
                arguments[name] = encode(
                    value, lambda t: self._put(t, f"{prefix}.config.{len(self.tensors)}")
                )
            except ScmError as error:
                raise MechanismError(_refusal(owner, name, value, error)) from error
        return {"class": cls, "config": arguments}

    @staticmethod
    def _class(holder: Holder) -> str:
        cls = type(holder)
        if cls is Encoder or _classes().get(cls.__name__) is cls:
            return cls.__name__
        if isinstance(holder, Encoder):
            raise ScmError("it is an Encoder of another class")
        return paths.path_of(cls)


def _way_out(owner: Owner, what: str) -> str:
    return (
        f"model.save(path, omit=({owner!r},)), and then "
        f"scm.load(path, functions={{{owner!r}: {what}}})"
    )


def _refusal(owner: Owner, name: str, value: Any, error: ScmError) -> str:
    what = f"{name}={value!r:.80} of {named(owner)} cannot be saved: {error}. "
    if not is_callable(value):
        return what + "Return numbers, tensors, node types, laws or functions from config()"
    if isinstance(value, nn.Module):
        return what + "Use layers of torch.nn, or leave it out: " + _way_out(owner, "module")
    return (
        what
        + "Define it with def at the top of a module that can be imported, or leave it out: "
        + _way_out(owner, "function")
    )


class Reading:
    """Makes mechanisms from their descriptions.

    Args:
        tensors: Tensors of the file by key.
        functions: What is given for owners.
    """

    def __init__(self, tensors: Mapping[str, Tensor], functions: Mapping[Any, Any]) -> None:
        self.tensors = tensors
        self.functions = functions
        self._parameters: dict[tuple[str, bool], nn.Parameter] = {}

    def check_given(self, entries: Sequence[tuple[Owner, Mapping[str, Any]]]) -> None:
        """Refuse a file some of whose functions are neither in it nor given.

        Raises:
            ScmError: With all that is missing.
        """
        missing: dict[Owner, str] = {}
        for owner, entry in entries:
            given = self._given(owner, entry)
            if isinstance(given, Mechanism):
                continue
            if entry["class"] is None:
                missing[owner] = "mechanism"
            lacks = [n for n, v in entry["config"].items() if v == GIVEN and n not in given]
            if lacks:
                several = "{" + ", ".join(f"{n!r}: ..." for n in lacks) + "}"
                missing[owner] = "function" if len(lacks) == 1 else several
        if missing:
            what = ", ".join(f"{owner!r}: {value}" for owner, value in missing.items())
            raise ScmError(
                "the model was saved without some of its functions; give them: "
                f"scm.load(path, functions={{{what}}})"
            )

    def _given(self, owner: Owner, entry: Mapping[str, Any]) -> Mechanism | dict[str, Any]:
        """What is given for an owner: a mechanism, or functions by argument."""
        if owner not in self.functions:
            return {}
        value = self.functions[owner]
        if isinstance(value, Mechanism) and isinstance(owner, str):
            return value
        if entry["class"] is None:
            raise ScmError(f"functions[{owner!r}] is {value!r:.60}; a whole mechanism was left out")
        config = entry["config"]
        names = [n for n, v in config.items() if isinstance(v, dict) and v["$"] in _REPLACEABLE]
        if not names:
            raise ScmError(
                f"functions has a value for {named(owner)}, whose {entry['class']} was saved "
                "without any function; leave it out"
            )
        if not isinstance(value, Mapping):
            omitted = [n for n in names if config[n] == GIVEN]
            if len(omitted) > 1:
                raise ScmError(
                    f"functions[{owner!r}] has one value for {omitted}; give a mapping, "
                    f"{{{omitted[0]!r}: ..., {omitted[1]!r}: ...}}"
                )
            value = {(omitted or names)[0]: value}
        for name, function in value.items():
            if name not in names:
                raise ScmError(f"functions[{owner!r}] has {name!r}; {nearest(name, names)}")
            if not callable(function):
                raise ScmError(
                    f"functions[{owner!r}] is {function!r:.60}; expected a function or a module"
                )
        return dict(value)

    def made(self, owner: Owner, entry: Mapping[str, Any]) -> Holder:
        """The mechanism or encoder, not bound to its parents yet, in evaluation mode.

        Raises:
            ScmError: If it cannot be made from its description.
        """
        given = self._given(owner, entry)
        if isinstance(given, Mechanism):
            return given.eval()
        arguments = {
            str(name): given[name] if name in given else decode(value, self.tensors)
            for name, value in entry["config"].items()
        }
        holder = self._class(owner, entry["class"])(**arguments)
        if not isinstance(holder, (Mechanism, Encoder)):
            raise ScmError(f"{entry['class']} made a {type(holder).__name__}")
        return holder.eval()

    @staticmethod
    def _class(owner: Owner, name: Any) -> Any:
        if not isinstance(owner, str):
            return Encoder
        known = _classes()
        if not isinstance(name, str) or (name not in known and ":" not in name):
            raise ScmError(f"the mechanism {name!r:.60} is unknown; {nearest(name, known)}")
        cls = known[name] if name in known else paths.follow(name)
        if not isinstance(cls, type):
            raise ScmError(f"{name} is a function, and no mechanism")
        return cls

    def fill(self, owner: Owner, holder: Holder, entry: Mapping[str, Any]) -> None:
        """Put the tensors of the file in place of those that the holder was made with.

        Raises:
            ScmError: If names, shapes or kinds differ.
        """
        saved, frozen = entry["tensors"], set(entry["frozen"])
        built = _tensors(holder)
        given = self._given(owner, entry)
        own = given.values() if isinstance(given, dict) else [given]
        foreign = {id(t) for m in own if isinstance(m, nn.Module) for t in _tensors(m).values()}
        extra = [n for n in saved if n not in built]
        missing = [n for n, t in built.items() if n not in saved and id(t) not in foreign]
        if extra or missing:
            wrong = [f"{n} {tuple(built[n].shape)} is missing in the file" for n in missing]
            wrong += [f"{n} {tuple(self.tensors[saved[n]].shape)} is unknown" for n in extra]
            more = f"; and {len(wrong) - 8} more" if len(wrong) > 8 else ""
            raise ScmError(
                f"{named(owner)} has other tensors: {'; '.join(wrong[:8])}{more}; give a module "
                "like the one that was saved"
            )
        for name, key in saved.items():
            _check_like(owner, name, built[name], self.tensors[key])
            place, _, leaf = name.rpartition(".")
            module = holder.get_submodule(place)
            if isinstance(built[name], nn.Parameter):
                module._parameters[leaf] = self._parameter(key, name not in frozen)
            else:
                module._buffers[leaf] = self.tensors[key]

    def _parameter(self, key: str, requires_grad: bool) -> nn.Parameter:
        at = (key, requires_grad)
        if at not in self._parameters:
            self._parameters[at] = nn.Parameter(self.tensors[key], requires_grad)
        return self._parameters[at]


def _check_like(owner: Owner, name: str, built: Tensor, saved: Tensor) -> None:
    both_float = built.is_floating_point() and saved.is_floating_point()
    if built.shape != saved.shape or not (both_float or built.dtype == saved.dtype):
        raise ScmError(
            f"{name} of {named(owner)} is {saved.dtype} {tuple(saved.shape)} in the file, where "
            f"{built.dtype} {tuple(built.shape)} is expected; give a module like the one that was "
            "saved"
        )
