"""What a method's file may declare, checked in its source: planning cannot import torch."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from bench.config.parsing import nearest
from bench.runtime.errors import ConfigError, Problems

# What a method without a `forward` of its own can pass over; a batch of images for each.
PASSES = ("clean", "adversarial", "memory")
LISTS = ("passes", "teacher_passes", "statistics_passes")
KINDS = ("frozen", "trained", "average")
AVERAGED = "averaged"  # what a state file calls the average of weights
# What `bench.methods.step.Step` has; a test holds the two equal.
VERBS = (
    *("attack", "input_gradient", "random_signs", "random", "recall", "remember", "logits"),
    *("joint_logits", "network_logits", "weight_gradients", "move_average"),
)
# What `bench.attacks.inner.InnerAttack` knows, which only an import of torch could tell.
ATTACK = {
    "loss": ("kl", "ce"),
    "start": ("gaussian", "uniform", "zero"),
    "mode": ("eval", "train"),
}


def check_method(path: Path, method: ast.ClassDef | ast.FunctionDef) -> None:
    """Raise ConfigError where training could not do what the class `method` in `path` declares.

    What it inherits or computes only an import can tell: `bench.methods.base.create` looks then.
    """
    problems, where = Problems(), f"{path}, line {method.lineno}"
    assigned = assignments(method)
    functions = {node.name: node for node in method.body if isinstance(node, ast.FunctionDef)}
    bases = [ast.unparse(base).rpartition(".")[2] for base in getattr(method, "bases", [])]
    if bases == ["Method"]:
        for name in ("attack", "passes", "terms"):
            if name in assigned or name in functions:
                continue
            problems.add(
                f"{where}: the method declares no {name!r}; docs/new-method.md has a whole one"
            )
        if not any("dataclass" in ast.unparse(node) for node in method.decorator_list):
            problems.add(f"{where}: put @dataclass(frozen=True, kw_only=True) below @register")
    attack = assigned.get("attack")
    if isinstance(attack, ast.Call) and ast.unparse(attack.func).endswith("InnerAttack"):
        _check_attack(attack, problems, f"{path}, line {attack.lineno}")
    lists = {name: _literal(assigned[name]) for name in LISTS if name in assigned}
    if lists.get("passes") is not None and None not in lists.values():
        where = f"{path}, line {assigned['passes'].lineno}"
        attacked = None if attack is None else ast.unparse(attack) != "None"
        with problems.collecting():
            declared = tuple(lists.get(name) or () for name in LISTS)
            # A class that inherits from another method may inherit its forward.
            own = "forward" in functions or bases != ["Method"]
            check_passes(declared, attacked=attacked, own_forward=own, where=where)
            if "terms" in functions:
                _check_terms(functions["terms"], declared[0], declared[1], path)
            if "forward" in functions:
                names = [name for passes in declared for name in passes]
                networks = _literal(assigned["networks"]) if "networks" in assigned else {}
                _check_forward(functions["forward"], names, list(networks or ()), path)
    if "networks" in assigned:
        where = f"{path}, line {assigned['networks'].lineno}"
        options = {
            ast.unparse(node.target)
            for node in method.body
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "Label"
        }
        _check_networks(_literal(assigned["networks"]), options, problems, where)
    problems.settle()


def assignments(method: ast.ClassDef | ast.FunctionDef) -> dict[str, ast.expr]:
    """Return what the class `method` assigns in its body by name, annotated or not."""
    assigned: dict[str, ast.expr] = {}
    for node in method.body:
        if isinstance(node, ast.AnnAssign) and node.value and isinstance(node.target, ast.Name):
            assigned[node.target.id] = node.value
        elif isinstance(node, ast.Assign):
            assigned |= {to.id: node.value for to in node.targets if isinstance(to, ast.Name)}
    return assigned


def _check_forward(
    forward: ast.FunctionDef, passes: list[str], networks: list[str], path: Path
) -> None:
    """Raise ConfigError where `forward` uses no verb of a step, or passes that are not declared."""
    arguments = [argument.arg for argument in (*forward.args.posonlyargs, *forward.args.args)]
    problems, step = Problems(), arguments[1] if len(arguments) > 1 else "step"
    for node in ast.walk(forward):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=verb)) if name == step:
                where = f"{path}, line {node.lineno}"
                if verb not in VERBS:
                    problems.add(f"{where}: a step has no {verb!r}; {nearest(verb, VERBS)}")
                if verb == "network_logits" and node.args:
                    network = _literal(node.args[0])
                    if network is not None and network not in networks:
                        problems.add(
                            f"{where}: {network!r} is not in networks; "
                            f"{nearest(str(network), networks)}"
                        )
                for word in node.keywords if verb.endswith("logits") else ():
                    if word.arg is not None and word.arg not in passes:
                        problems.add(
                            f"{where}: the pass {word.arg!r} is in none of the lists of passes; "
                            f"{nearest(word.arg, passes)}"
                        )
    problems.settle()


def _check_networks(networks: Any, options: set[str], problems: Problems, where: str) -> None:
    if not isinstance(networks, dict):
        problems.add(f'{where}: networks: expected a literal such as {{"guide": "trained"}}')
        return
    for name, kind in networks.items():
        if name == AVERAGED:
            problems.add(f"{where}: networks: {name!r} is the average of weights; rename it")
        if kind not in KINDS:
            problems.add(f"{where}: networks: unknown kind {kind!r}; {nearest(str(kind), KINDS)}")
        if kind == "frozen" and name not in options:
            problems.add(
                f"{where}: networks: the frozen {name!r} needs an option that names its run; add "
                f'{name}: Label = "standard"'
            )


def _literal(value: ast.expr) -> Any:
    try:
        return ast.literal_eval(value)
    except ValueError:
        return None


def check_passes(
    declared: tuple[Any, ...], *, attacked: bool | None, own_forward: bool, where: str
) -> None:
    """Raise ConfigError where `declared`, in the order of `LISTS`, are not passes that can be made.

    `attacked` says whether the method has an attack; None where that is not known. A method with a
    `forward` of its own gives its passes any names.
    """
    passes, *others = declared
    if not isinstance(passes, tuple | list) or not passes:
        raise ConfigError(f'{where}: passes: expected a tuple such as ("clean",), got {passes!r}')
    for name, names in zip(LISTS[1:], others, strict=True):
        if not isinstance(names, tuple | list):
            raise ConfigError(f'{where}: {name}: expected a tuple such as ("clean",)')
    every = [*passes, *(name for names in others for name in names)]
    if len(set(every)) < len(every):
        raise ConfigError(f"{where}: passes {every!r} names one twice; remove one of the two")
    if own_forward:
        return
    for name in every:
        if name not in PASSES:
            raise ConfigError(
                f"{where}: unknown pass {name!r}; {nearest(str(name), PASSES)} (others need a "
                "`forward` that makes them)"
            )
    made = [name for name in every if name != "clean"]
    if made and attacked is False:
        raise ConfigError(
            f"{where}: the pass {made[0]!r} needs an attack, and attack is None; declare one or "
            "remove the pass"
        )
    if not made and attacked:
        raise ConfigError(
            f"{where}: no pass uses what the attack makes; add 'adversarial' to passes, or set "
            "attack = None"
        )


def _check_attack(attack: ast.Call, problems: Problems, where: str) -> None:
    given = {word.arg: word.value for word in attack.keywords}
    for name, words in ATTACK.items():
        value = given.get(name)
        if value is None:
            if name != "mode" and None not in given and not attack.args:
                problems.add(f"{where}: InnerAttack needs {name}; known: {', '.join(words)}")
        elif isinstance(value, ast.Constant) and value.value not in words:
            problems.add(
                f"{where}: unknown {name} {value.value!r} of InnerAttack; "
                f"{nearest(str(value.value), words)}"
            )


def _check_terms(
    terms: ast.FunctionDef, trained: tuple[str, ...], constant: tuple[str, ...], path: Path
) -> None:
    """Raise ConfigError where `terms` reads logits that are not declared, or leaves some unread.

    Where the logits are handed on whole, who can say what is read of them: nothing is unread then.
    """
    arguments = [argument.arg for argument in (*terms.args.posonlyargs, *terms.args.args)]
    if len(arguments) < 2:
        return
    problems, logits, passes = Problems(), arguments[1], (*trained, *constant)
    read: dict[str, int] = {}
    optional, known_uses = set[str](), 0
    for node in ast.walk(terms):
        match node:
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str(key))):
                if name == logits:
                    read.setdefault(key, node.lineno)
                    known_uses += 1
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr="get"),
                args=[ast.Constant(value=str(key)), *_],
            ):
                if name == logits:
                    read.setdefault(key, node.lineno)
                    optional.add(key)
                    known_uses += 1
            case ast.Compare(
                left=ast.Constant(value=str(key)),
                ops=[ast.In() | ast.NotIn()],
                comparators=[ast.Name(id=name)],
            ):
                if name == logits:
                    optional.add(key)
                    known_uses += 1
    for key in dict.fromkeys((*read, *sorted(optional))):
        if key not in passes and (key not in PASSES or key not in optional):
            line = read.get(key, terms.lineno)
            problems.add(
                f"{path}, line {line}: terms reads logits[{key!r}], which is not in passes; "
                f"{nearest(key, passes)}"
            )
    uses = sum(isinstance(node, ast.Name) and node.id == logits for node in ast.walk(terms))
    for name in passes if uses == known_uses else ():
        if name not in read:
            problems.add(
                f"{path}, line {terms.lineno}: terms never reads logits[{name!r}], and every step "
                "would pay for that pass; read it, or remove it from passes"
            )
    problems.settle()
