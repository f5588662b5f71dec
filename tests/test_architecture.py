"""The architecture: imports run one way through the rooms, heavy libraries stay in place, and no room is too large."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Each room imports only from itself and the rooms before it.
ROOMS = (
    "common",
    "denoisers",
    "measures",
    "solvers",
    "schedules",
    "samplers",
    "search",
    "tasks",
    "envs",
    "evaluation",
    "export",
)
AGENT_ROOMS = (
    "runs",
    "reports",
    "continuous_time",
    "algorithms",
    "training",
    "learn",
    "jobs",
    "studies",
    "benchmark",
    "cli",
)
MOST_LINES, MOST_IN_FUNCTION = 300, 50
ONLY_IN = {
    "stable_baselines3": {"art_gym.envs.sb3"},
    "matplotlib": {"art_gym.envs.rendering"},
    "diffusers": {
        "art_gym.denoisers.diffusers_folders",
        "art_gym.export.network_calls",
        "art_gym.export.scheduler",
        "art_gym.schedules.published",
    },
}
# Networks, and gradients through the solver. A reset, a step or an evaluation needs none of these modules.
TORCH_AT_THE_TOP = {
    *(
        f"art_gym.denoisers.{name}"
        for name in ("memory", "torch_denoiser", "networks", "model_calls", "edm", "predictions")
    ),
    *(f"art_gym.denoisers.diffusers_{name}" for name in ("models", "folders")),
    *(
        f"art_gym.denoisers.{name}"
        for name in ("pipelines", "pipeline_arguments", "pipeline_loop", "pipeline_schedulers")
    ),
    "art_gym.export.scheduler",
    "art_gym.measures.features",
    "art_gym.tasks.conditions",
    "art_gym.tasks.guided_task",
    "art_gym.tasks.inpaint_context",
    "art_gym.tasks.network_task",
    *(f"art_gym.tasks.learned.{name}_inpaint" for name in ("digits", "mnist")),
}


def modules(folder: str, prefix: str = "") -> dict[str, Path]:
    """Dotted name and file of every module below a top folder."""
    names = {}
    for file in sorted((ROOT / folder).rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        names[prefix + ".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return names


ART_GYM, AGENTS = modules("art_gym"), modules("agents", "art_gym.")
ALL = ART_GYM | AGENTS


def imports(name: str, top_only: bool = False) -> set[str]:
    """Absolute dotted names that a module imports, also inside functions unless ``top_only``."""
    file = ALL[name]
    tree = ast.parse(file.read_text(encoding="utf-8"))
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    skipped = set()
    for outer in ast.walk(tree):
        checking = isinstance(outer, ast.If) and ast.unparse(outer.test) == "TYPE_CHECKING"
        if checking or (top_only and isinstance(outer, ast.FunctionDef)):
            skipped |= set(ast.walk(outer))
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])
            submodules = {f"{base}.{alias.name}" for alias in node.names} & {*ALL}
            found |= submodules or {base}
    return found


def room_of(name: str) -> int:
    """The position of a module's room in the order."""
    parts = name.split(".")
    if parts[:2] == ["art_gym", "agents"]:
        return len(ROOMS) + (AGENT_ROOMS.index(parts[2]) if len(parts) > 2 and parts[2] != "__main__" else 100)
    return ROOMS.index(parts[1])


def uses(found: set[str], library: str) -> bool:
    return any(name.split(".")[0] == library for name in found)


def inside(name: str) -> bool:
    """Whether a module lies in a room. All do, except the package itself and its data."""
    return name not in ("art_gym", "art_gym.data", "art_gym.agents", "art_gym.agents.__main__")


def test_every_module_lies_in_a_room() -> None:
    for name in filter(inside, ALL):
        room_of(name)  # raises for an unknown one


@pytest.mark.parametrize("name", [*filter(inside, ALL)])
def test_imports_run_one_way(name: str) -> None:
    own = {found for found in imports(name) if found.split(".")[0] == "art_gym" and inside(found)}
    assert own <= set(ALL), f"{name} imports {own - set(ALL)}, which is no module of art_gym"
    above = [found for found in own if room_of(found) > room_of(name)]
    assert not above, f"{name} imports {above}, whose room comes later"


def test_no_module_imports_itself_around_a_corner() -> None:
    graph = {name: {found for found in imports(name) if inside(found) and found in ALL} - {name} for name in ALL}
    assert len(tuple(TopologicalSorter(graph).static_order())) == len(ALL)  # raises CycleError


@pytest.mark.parametrize("name", ART_GYM)
def test_libraries_stay_where_they_belong(name: str) -> None:
    found = imports(name)
    for library, places in ONLY_IN.items():
        assert name in places or not uses(found, library), f"{name} imports {library}"
    assert name in TORCH_AT_THE_TOP or not uses(imports(name, top_only=True), "torch")


@pytest.mark.parametrize("name", AGENTS)
def test_agents_import_each_other_relatively(name: str) -> None:
    """Their folder has another name than their installed package."""
    for node in ast.walk(ast.parse(AGENTS[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and not node.level:
            assert not (node.module or "").startswith(("agents", "art_gym.agents")), f"{name}: use relative imports"


def lines_of(function: ast.FunctionDef) -> int:
    """The number of lines without the docstring."""
    first = function.body[0]
    documented = ast.get_docstring(function, clean=False) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


@pytest.mark.parametrize("folder", ["art_gym", "agents", "benchmarks", "examples", "integrations", "tests"])
def test_no_file_and_no_function_is_too_long(folder: str) -> None:
    for file in sorted((ROOT / folder).rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= MOST_LINES, f"{file}: find the two rooms in it"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert lines_of(node) <= MOST_IN_FUNCTION, f"{node.name} in {file}: find the two functions in it"


def test_every_package_is_installed() -> None:
    """A search cannot map two top folders into one package: pyproject.toml lists them."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    configs = modules("envs_configs", "art_gym.")
    packages = {name for name, file in (ALL | configs).items() if file.name == "__init__.py"}
    assert set(listed["packages"]) == packages
    for name in packages:
        folder = ROOT.joinpath(*name.removeprefix("art_gym.").split(".")) if name not in ART_GYM else None
        assert folder is None or ROOT / listed["package-dir"].get(name, name.replace(".", "/").removeprefix("art_gym/"))


def test_every_light_module_can_be_imported_alone() -> None:
    light = [name for name in ART_GYM if name not in {*TORCH_AT_THE_TOP, "art_gym.envs.sb3"}]
    light = [name for name in light if not name.startswith("art_gym.tasks.learned.")]  # these import `network_task`
    code = (
        "import importlib, sys\n"
        f"for name in {light!r}:\n"
        "    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, name\n"
        "    for loaded in [key for key in sys.modules if key.startswith('art_gym')]: del sys.modules[loaded]\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
