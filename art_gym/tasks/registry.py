"""Tasks are named denoisers: built-in ones, those of other distributions, and those that a user registers."""

from __future__ import annotations

from collections.abc import Callable

from art_gym.common.messages import one_line, short, told
from art_gym.common.parts import split_options
from art_gym.common.registry import ModuleRegistry, nearest
from art_gym.denoisers.base import Denoiser
from art_gym.denoisers.checks import check_denoiser

Factory = Callable[..., Denoiser]


class Tasks(ModuleRegistry[Factory]):
    """Functions that make denoisers, by name."""

    def replace(self, name: str, factory: Factory) -> None:
        """Register a user's task in place of an earlier one of that name. Raises a ValueError for a built-in name."""
        if name in self.modules:
            raise ValueError(f"{name!r} is a built-in task: choose another name")
        self._entries.pop(name, None)
        self.add(name, factory)


EXACT, LEARNED, FAMILIES = "art_gym.tasks.exact", "art_gym.tasks.learned", "art_gym.tasks.families"
TASKS = Tasks("task", "art_gym.tasks", (EXACT, LEARNED, FAMILIES))
BUILT_IN = tuple(name for name, module in TASKS.modules.items() if module.startswith(EXACT))  # without weights
NETWORKS = tuple(name for name, module in TASKS.modules.items() if module.startswith(LEARNED))
_made: dict[str, Denoiser] = {}


def task(factory: Factory) -> Factory:
    """Register a function that makes a denoiser as a task of the same name. Its arguments are numbers with defaults.

    This is for task modules, ours and those of other distributions. In a script, `register_task` does this and more.
    """
    TASKS.add(factory.__name__, factory)
    return factory


def register_task(name: str, denoiser: Denoiser | Factory) -> None:
    """Register a denoiser as a task, so that ``gym.make("ARTDiffusion-v0", task=name)`` finds it.

    Args:
        name: a Python identifier. It must not be a built-in name. Your earlier task of that name is replaced.
        denoiser: a denoiser object, or a function that makes one at first use. The function gets the numbers that
            follow the name, so "my_task?scale=2" calls it with scale=2.0.

    Raises:
        ValueError: for a built-in name, a name that is not an identifier, or an object that is not a denoiser.
    """
    made = hasattr(denoiser, "shape") and not isinstance(denoiser, type)
    if made or not callable(denoiser):
        check_denoiser(denoiser)  # type: ignore[arg-type]
    TASKS.replace(name, (lambda: denoiser) if made else denoiser)  # type: ignore[arg-type,return-value]
    for before in [before for before in _made if before.partition("?")[0] == name]:  # with any options
        del _made[before]
    if made:
        _made[name] = denoiser  # type: ignore[assignment]


def task_names() -> tuple[str, ...]:
    """Return all names that `get_task` knows, built-in ones first."""
    return tuple(TASKS)


def get_task(name: str) -> Denoiser:
    """Return the denoiser of that name, made once. Options follow the name, as in "digits_class?guidance=4".

    Raises:
        ValueError: for an unknown name or option. For a name, the message lists the known ones.
    """
    if not isinstance(name, str):
        raise ValueError(f"a task's name must be text, got {short(name)}")
    base, options = split_options(name)
    if base.startswith("model:"):
        raise ValueError(
            f"this is for {short(base[6:])}, a model of your own, which is not a task: see the proof in the report "
            f"beside the schedule, or name a task to evaluate it on, such as --task digits"
        )
    if base not in TASKS:
        name = one_line(base, 40)
        raise ValueError(
            f"unknown task {short(base)}: {nearest(base, TASKS)}choose one of {', '.join(TASKS)}, or register it first "
            f"with art_gym.register_task (task='my_module:{name}' or --task my_module:{name} imports your module)"
        )
    if name not in _made:
        factory = TASKS[base]
        try:
            _made[name] = check_denoiser(factory(**{key: float(value) for key, value in options.items()}))
        except Exception as error:  # a user's function can raise anything
            raise ValueError(
                f"cannot make the task {short(name)}: {told(error)} (register a plain function D(x, sigma) as "
                f"FunctionDenoiser(function, shape); options are numbers, as in digits_class?guidance=4)"
            ) from None
    return _made[name]


def name_of_task(denoiser: Denoiser) -> str | None:
    """Return the name for which `get_task` returns this very object, or None."""
    return next((name for name, made in _made.items() if made is denoiser), None)


def resolve(task: str | Denoiser) -> Denoiser:
    """Return a task's denoiser by name. A denoiser object is checked and returned."""
    return get_task(task) if isinstance(task, str) else check_denoiser(task)
