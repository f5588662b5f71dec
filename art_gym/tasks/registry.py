"""The tasks: named denoisers, built in, of other distributions, or registered by a user."""

from __future__ import annotations

from collections.abc import Callable

from art_gym.common.registry import ModuleRegistry, nearest
from art_gym.denoisers.base import Denoiser
from art_gym.denoisers.checks import check_denoiser

Factory = Callable[..., Denoiser]


class Tasks(ModuleRegistry[Factory]):
    """Functions that make denoisers, by name."""

    def replace(self, name: str, factory: Factory) -> None:
        """Register a user's task, instead of an earlier one of that name. Raises a ValueError for a built-in one."""
        if name in self.modules:
            raise ValueError(f"{name!r} is a built-in task: choose another name")
        self._entries.pop(name, None)
        self.add(name, factory)


EXACT, LEARNED = "art_gym.tasks.exact", "art_gym.tasks.learned"
TASKS = Tasks("task", "art_gym.tasks", (EXACT, LEARNED))
BUILT_IN = tuple(name for name, module in TASKS.modules.items() if module.startswith(EXACT))  # without weights
NETWORKS = tuple(name for name, module in TASKS.modules.items() if module.startswith(LEARNED))
_made: dict[str, Denoiser] = {}


def task(factory: Factory) -> Factory:
    """Register a function that makes a denoiser as the task of its name; its arguments are numbers with defaults.

    For modules of tasks, ours and other distributions'. In a script `register_task` does the same and more.
    """
    TASKS.add(factory.__name__, factory)
    return factory


def register_task(name: str, denoiser: Denoiser | Factory) -> None:
    """Make a denoiser known as a task: ``gym.make("ARTDiffusion-v0", task=name)`` finds it.

    Args:
        name: a Python identifier. A built-in name cannot be taken; a name of one's own is replaced.
        denoiser: a denoiser object, or a function that makes one at first use, of the numbers that stand behind the
            name: "my_task?scale=2" calls it with scale=2.0.

    Raises:
        ValueError: for a built-in name, one that is no identifier, or an object that is no denoiser.
    """
    made = hasattr(denoiser, "shape") and not isinstance(denoiser, type)
    if made or not callable(denoiser):
        check_denoiser(denoiser)  # type: ignore[arg-type]
    TASKS.replace(name, (lambda: denoiser) if made else denoiser)  # type: ignore[arg-type,return-value]
    for before in [before for before in _made if before.partition("?")[0] == name]:  # with whatever options
        del _made[before]
    if made:
        _made[name] = denoiser  # type: ignore[assignment]


def task_names() -> tuple[str, ...]:
    """All names that `get_task` knows, built-in ones first."""
    return tuple(TASKS)


def get_task(name: str) -> Denoiser:
    """The denoiser of that name, made once. Options of a task stand behind it, as in "digits_class?guidance=4".

    Raises:
        ValueError: for an unknown name, which lists the known ones, or an unknown option.
    """
    base, _, query = name.partition("?")
    if base.startswith("model:"):
        raise ValueError(
            f"this is for {base[6:]!r}, a model of your own, which is no task: its proof is in the report beside the "
            f"schedule; to evaluate it on a task, name that, as with --task digits"
        )
    if base not in TASKS:
        raise ValueError(
            f"unknown task {base!r}: {nearest(base, TASKS)}choose one of {', '.join(TASKS)}, or art_gym.register_task "
            f"it first; task='my_module:{base}' (--task my_module:{base}) imports the module that does"
        )
    if name not in _made:
        factory = TASKS[base]
        try:
            parts = [part.partition("=") for part in query.split("&") if part]
            options = {key: float(value) for key, _, value in parts}
            _made[name] = check_denoiser(factory(**options))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"cannot make the task {name!r}: {error} (a plain function D(x, sigma) is registered as "
                f"FunctionDenoiser(function, shape); options are numbers, as in digits_class?guidance=4)"
            ) from None
    return _made[name]


def name_of_task(denoiser: Denoiser) -> str | None:
    """The name that `get_task` gives this very object for; None if there is none."""
    return next((name for name, made in _made.items() if made is denoiser), None)


def resolve(task: str | Denoiser) -> Denoiser:
    """A task's denoiser by name; a denoiser object is checked and handed back."""
    return get_task(task) if isinstance(task, str) else check_denoiser(task)
