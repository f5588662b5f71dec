"""Imports run down one list, heavy libraries stay where they belong."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Every module of art_gym, each of which imports only modules above it. Add a new one where its imports allow.
ORDER = (
    "art_gym",  # resolves its public names lazily
    "art_gym.data",  # no code
    "art_gym.files",
    "art_gym.isolation",
    "art_gym.parts",
    "art_gym.denoisers.base",
    "art_gym.denoisers.constants",
    "art_gym.denoisers.threads",
    "art_gym.denoisers.dataset",
    "art_gym.denoisers.mixture",
    "art_gym.denoisers.memory",
    "art_gym.denoisers.torch_denoiser",
    "art_gym.denoisers.variance_preserving",
    "art_gym.denoisers.adapters",
    "art_gym.denoisers.networks",
    "art_gym.denoisers",
    "art_gym.images",
    "art_gym.features",
    "art_gym.network_tasks",
    "art_gym.solvers",
    "art_gym.sampling",
    "art_gym.quality",
    "art_gym.schedules.grids",
    "art_gym.schedules.schedule",
    "art_gym.schedules.exports",
    "art_gym.schedules",
    "art_gym.schedules.fine",
    "art_gym.schedules.fractions",
    "art_gym.schedules.evolution",
    "art_gym.schedules.closed_forms",
    "art_gym.schedules.tuned",
    "art_gym.schedules.defect",
    "art_gym.schedules.optimised",
    "art_gym.schedules.adam",
    "art_gym.noise_bank",
    "art_gym.tasks",
    "art_gym.references",
    "art_gym.state",
    "art_gym.problem",
    "art_gym.actions",
    "art_gym.observations",
    "art_gym.rewards",
    "art_gym.episodes",
    "art_gym.core",
    "art_gym.config",
    "art_gym.spec",
    "art_gym.rendering",
    "art_gym.env",
    "art_gym.vector_env",
    "art_gym.sb3",
    "art_gym.evaluation",
    "art_gym.adaptive",
    "art_gym.oracle",
)
ONLY_IN = {
    "stable_baselines3": {"art_gym.sb3"},
    "matplotlib": {"art_gym.rendering"},
    "diffusers": {"art_gym.denoisers.adapters"},
}
# Gradients through the solver: nobody needs these modules to reset, step or evaluate.
TORCH_AT_THE_TOP = {
    "art_gym.schedules.optimised",
    "art_gym.schedules.adam",
    "art_gym.denoisers.memory",
    "art_gym.denoisers.torch_denoiser",
    "art_gym.denoisers.adapters",
    "art_gym.denoisers.networks",
    "art_gym.network_tasks",
    "art_gym.features",
}


def modules(package: str) -> dict[str, Path]:
    """Dotted name and file of every module below a top folder."""
    names = {}
    for file in sorted((ROOT / package).rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return names


ART_GYM, AGENTS = modules("art_gym"), modules("agents")


def imports(file: Path, name: str, top_only: bool = False) -> set[str]:
    """Dotted names that a file imports, in functions too unless ``top_only``; relative ones made absolute."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    inside = [node for outer in ast.walk(tree) if isinstance(outer, ast.FunctionDef) for node in ast.walk(outer)]
    for node in ast.walk(tree):
        if top_only and node in inside:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                parent = ".".join(parts[: len(parts) - node.level + 1])
                base = f"{parent}.{base}".strip(".")
            submodules = {f"{base}.{alias.name}" for alias in node.names} & {*ART_GYM, *AGENTS}
            found |= submodules or {base}
    return found


def uses(found: set[str], library: str) -> bool:
    return any(name.split(".")[0] == library for name in found)


def test_every_module_has_its_place() -> None:
    assert len(set(ORDER)) == len(ORDER)
    assert set(ART_GYM) == set(ORDER), f"ORDER differs from the folder in {set(ART_GYM) ^ set(ORDER)}"


@pytest.mark.parametrize("name", ART_GYM)
def test_imports_run_down_the_list(name: str) -> None:
    own = {imported for imported in imports(ART_GYM[name], name) if imported.split(".")[0] == "art_gym"}
    assert own <= set(ORDER), f"{name} imports {own - set(ORDER)}, which is no module of art_gym"
    above = [imported for imported in own if ORDER.index(imported) >= ORDER.index(name)]
    assert not above, f"{name} imports {above}, which stand below it"


@pytest.mark.parametrize("name", ART_GYM)
def test_art_gym_never_imports_what_is_above_it(name: str) -> None:
    found = imports(ART_GYM[name], name)
    assert not uses(found, "agents") and not any(imported.startswith("art_gym.agents") for imported in found)
    for library, places in ONLY_IN.items():
        assert name in places or not uses(found, library), f"{name} imports {library}"


@pytest.mark.parametrize("name", ART_GYM)
def test_torch_is_imported_in_functions_only(name: str) -> None:
    assert name in TORCH_AT_THE_TOP or not uses(imports(ART_GYM[name], name, top_only=True), "torch")


def test_agents_have_no_cycle_and_use_relative_imports() -> None:
    graph = {}
    for name, file in AGENTS.items():
        found = imports(file, name)
        assert not any(imported.startswith("art_gym.agents") for imported in found), f"{name}: use relative imports"
        graph[name] = {imported for imported in found if imported in AGENTS and imported not in (name, "agents")}
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            absolute = isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").startswith("agents")
            assert not absolute, f"{name}: `agents` is no name on the import path"
    assert len(tuple(TopologicalSorter(graph).static_order())) == len(AGENTS)  # raises CycleError


def test_no_cycle_hides_in_the_order() -> None:
    """The list of every module can really be imported, each alone in a fresh interpreter without torch."""
    light = [name for name in ART_GYM if name not in {*TORCH_AT_THE_TOP, "art_gym.sb3"}]
    code = (
        "import importlib, sys\n"
        f"for name in {light!r}:\n"
        "    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, name\n"
        "    for loaded in [key for key in sys.modules if key.startswith('art_gym')]: del sys.modules[loaded]\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
