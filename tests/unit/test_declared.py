from __future__ import annotations

from pathlib import Path

import pytest

from bench.config import method_options as declared
from bench.config.method_options import (
    declared_options,
    default_width,
    method_names,
    method_options,
    model_names,
    registered,
)
from bench.runtime.errors import ConfigError

MEMLOSS = {"variant": "v1", "beta": 3, "memory_beta": 2}
HEADER = "import torch_is_not_needed\nfrom bench.methods.base import Method, register\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An empty package of methods and models in place of the real one."""

    def forget():
        for function in (model_names, default_width, method_names, method_options):
            function.cache_clear()

    for folder in ("methods", "models"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(declared, "PACKAGE", tmp_path)
    forget()
    yield tmp_path
    forget()


def write_method(package: Path, body: str) -> None:
    source = (
        f"{HEADER}@register('mine')\n@dataclass\nclass Mine(Method):\n    {body}\n"
        "    attack = None\n    passes = ('clean',)\n"
        "    def terms(self, logits, labels):\n        return {'loss': logits['clean'].mean()}\n"
    )
    (package / "methods" / "mine.py").write_text(source)


def refusal(name: object, given: dict[str, object]) -> str:
    with pytest.raises(ConfigError) as caught:
        declared_options(name, given, where="methods.label")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_methods_and_models_of_the_benchmark_are_found():
    assert {"standard", "pgd_at", "trades", "mart", "memloss"} <= set(method_names())
    assert {"resnet18", "small_cnn"} <= set(model_names())


@pytest.mark.parametrize("decorator", ["register", "base.register"])
def test_a_file_is_called_as_what_it_registers(package, decorator):
    path = package / "methods" / "mine.py"
    path.write_text(f"@{decorator}('other')\nclass Mine:\n    pass\n")
    said = f"{path}: it registers 'other', and a file is called as what it registers: rename it "
    assert refusal("trades", {}) == f"{said}other.py, or register 'mine' in it"


@pytest.mark.parametrize(
    ("source", "said"),
    [(b"class Mine(:\n", ", line 1: it is not Python ("), (b"\xff = 1\n", ": it is not Python (")],
)
def test_a_file_that_is_not_python_is_named(package, source, said):
    path = package / "methods" / "mine.py"
    path.write_bytes(source)
    refused = refusal("trades", {})
    assert refused.startswith(f"{path}{said}")
    assert refused.endswith("; fix the file or move it away")


def test_an_option_without_annotation_is_told_as_one(package):
    write_method(package, "share = 0.5")
    assert "methods.label: the method 'mine' has no option 'share'; annotate it" in refusal(
        "mine", {"share": 0.3}
    )
    assert "annotate" not in refusal("mine", {"shore": 0.3})


def test_options_are_complete_in_declared_order_and_typed():
    options = declared_options(
        "memloss", {"memory_beta": "2", "beta": 3, "variant": "v1"}, where=""
    )
    assert list(options.items()) == [
        *(("variant", "v1"), ("beta", 3.0), ("memory_beta", 2.0)),
        *(("weight", "A"), ("alignment", "as_seen"), ("storage", "int8")),
    ]
    assert isinstance(options["beta"], float)


@pytest.mark.parametrize(("variant", "weight"), [("v1", "F"), ("v1", "none"), ("v2", "A")])
def test_an_option_may_be_given_where_it_counts_or_is_the_default(variant, weight):
    given = {**MEMLOSS, "variant": variant, "weight": weight}
    assert declared_options("memloss", given, where="")["weight"] == weight


@pytest.mark.parametrize("given", [{}, {"beta": 6}, {"beta": 6.0}, {"beta": "6"}, {"beta": "6e0"}])
def test_an_option_is_the_same_however_it_is_written_or_left_out(given):
    options = declared_options("trades", given, where="")
    assert options == {"beta": 6.0}
    assert isinstance(options["beta"], float)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("tradse", {}, "methods.label.method: 'tradse' is unknown; did you mean 'trades'? known: "),
        (None, {}, "methods.label.method: None is unknown; "),
        (["trades"], {}, "methods.label.method: ['trades'] is unknown; "),
        (
            "trades",
            {"betta": 6},
            "methods.label: the method 'trades' has no option 'betta'; did you mean 'beta'? known: "
            "beta, method, model, training",
        ),
        ("standard", {"beta": 6}, "methods.label: the method 'standard' has no option 'beta'; "),
        (
            "trades",
            {"trianing": {}},
            "methods.label: the method 'trades' has no option 'trianing'; did you mean 'training'?",
        ),
        (
            "memloss",
            {"beta": 1, "memory_beta": 1},
            "methods.label: the method 'memloss' needs the o",
        ),
        ("trades", {"beta": -1}, "methods.label.beta: expected a number of at least 0, got -1"),
        ("trades", {"beta": True}, "methods.label.beta: expected a number of at least 0, got True"),
        ("trades", {"beta": None}, "methods.label.beta: expected a number of at least 0, got None"),
        (
            "memloss",
            MEMLOSS | {"variant": "v4"},
            "methods.label.variant: 'v4' is unknown; did you mean 'v",
        ),
        (
            "memloss",
            MEMLOSS | {"storage": "int18"},
            "methods.label.storage: 'int18' is unknown; did you mean 'int8'? known: ",
        ),
        *(
            (
                "memloss",
                MEMLOSS | {"variant": variant, "weight": weight},
                f"methods.label.weight: '{weight}' counts with variant: v1 only, and this is "
                f"variant: {variant}; leave it out",
            )
            for variant in ("v2", "v3")
            for weight in ("F", "none")
        ),
    ],
)
def test_what_is_wrong_is_named_where_it_stands(name, given, message):
    assert refusal(name, given).startswith(message)


@pytest.mark.parametrize(
    ("name", "given"),
    [("standard", {}), ("pgd_at", {}), ("trades", {}), ("mart", {"beta": 4}), ("memloss", MEMLOSS)],
)
def test_planning_and_the_method_itself_agree_on_every_option(name, given):
    from bench.config.parsing import plain
    from bench.methods.base import create

    assert plain(create(name, given)) == declared_options(name, given, where="")


@pytest.mark.parametrize("name", ["resnet18", "small_cnn"])
def test_the_declared_width_is_the_one_that_the_model_is_built_with(name):
    from bench.models.base import build

    widths = [
        build(name, classes=10, channels=3, seed=0, width=width).conv1.out_channels
        for width in (None, default_width(name))
    ]
    assert widths[0] == widths[1] == default_width(name)


@pytest.mark.parametrize(
    ("source", "width"),
    [
        ("def net(*, classes, channels, width: int = 7): ...", 7),
        ("def net(classes, channels, width=7): ...", 7),
        ("def net(width=7, *, classes, channels=3): ...", 7),
        ("def net(*, classes, channels): ...", None),
        ("class Net:\n    def __init__(self, *, classes, channels, width: int = 7): ...", 7),
        ("class Net:\n    def __init__(self, classes, channels): ...", None),
        ("class Net:\n    def other(self, width=7): ...", None),
        ("class Net:\n    pass", None),
    ],
)
def test_a_width_is_found_in_a_class_and_in_a_function(package, source, width):
    (package / "models" / "net.py").write_text(f"@register('net')\n{source}\n")
    assert model_names() == ("net",)
    assert default_width("net") == width


@pytest.mark.parametrize(
    ("annotation", "raw", "value"),
    [
        ("Amount", "5e-1", 0.5),
        ("Count", 3.0, 3),
        ("Share", 1, 1.0),
        ("Positive | None", None, None),
        ("Positive | None", 2, 2.0),
        ("Literal['a']", "a", "a"),
        ("Literal['a', 'b']", "b", "b"),
        ("float", 1, 1.0),
        ("bool", True, True),
        ("int", 4, 4),
        ("str", "text", "text"),
    ],
)
def test_a_type_is_read_from_the_source(package, annotation, raw, value):
    write_method(package, f"option: {annotation}")
    assert declared_options("mine", {"option": raw}, where="") == {"option": value}
    assert refusal("mine", {"option": []}).startswith("methods.label.option: ")
    assert refusal("mine", {}) == "methods.label: the method 'mine' needs the option 'option'"


def test_a_default_is_typed_like_a_given_value(package):
    write_method(package, "option: Amount = 6")
    assert isinstance(declared_options("mine", {}, where="")["option"], float)


def test_what_is_not_an_option_is_left_out(package):
    write_method(
        package, "name: ClassVar[str] = 'x'\n    plain = 3\n    other: typing.ClassVar = 1"
    )
    assert declared_options("mine", {}, where="") == {}


@pytest.mark.parametrize("body", ["option: Sequence[int]", "option: Amount = math.pi"])
def test_an_option_that_only_an_import_could_read_is_explained(package, body):
    write_method(package, body)
    message = refusal("mine", {"option": 1})
    assert "mine.py: the option 'option' of the method 'mine' cannot be read without" in message
    assert "give it a literal default" in message


def test_only_what_is_registered_is_found(tmp_path):
    (tmp_path / "one.py").write_text(
        "@register('one')\n@dataclass(frozen=True)\nclass One: ...\n"
        "@other('two')\nclass Two: ...\n"
        "class Three: ...\n"
        "register('four')\n"
        "@register\ndef five(): ...\n"
    )
    assert list(registered(tmp_path)) == ["one"]
