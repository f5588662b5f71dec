"""The files that ComfyUI's nodes read, and what ComfyUI expects of a package of nodes."""

from __future__ import annotations

import ast
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from art_gym.samplers.sampler import Sampler
from art_gym.schedules import Schedule

FOLDER = Path(__file__).parents[3] / "integrations" / "comfyui" / "art_gym_nodes"
OURS = Sampler(
    (80.0, 11.0, 3.0, 0.9, 0.2, 0.0), (0.9, 1.1, 1.0, 0.95, 1.2), ((), (0.4,), (0.3, -0.1), (0.5,), ()), "test"
)
GOOD = json.loads(OURS.to_json())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigmas": 80}, "sigmas must be a list of numbers, got 80"),
        ({"sigmas": [80, "2", 0]}, "sigmas must be numbers, got '2'"),
        ({"sigmas": [80, True, 0]}, "sigmas must be numbers, got True"),
        ({"sigmas": [80, 2, 2, 0]}, "sigmas must decrease, got 2 and then 2"),
        ({"sigmas": [80, 2, 1]}, r"at least two levels that end in 0, got \[80.0, 2.0, 1.0\]"),
        ({"sigmas": [0]}, "at least two levels that end in 0"),
        ({"sigmas": [float("inf"), 0]}, "sigmas must be finite, got inf"),
        ({"sigmas": [10**400, 0]}, "sigmas must be finite, got 1000"),
        ({"told": [1, 1, 1, 1]}, "5 steps need as many entries in told, got 4"),
        ({"told": [1, 1, 1, 1, 0]}, "the factors in told must be above 0, got 0"),
        ({"told": None}, "told must be a list of numbers, got None"),
        ({"weights": [[], [], [], []]}, "5 steps need as many entries in weights, got 4"),
        ({"weights": {}}, "weights must be rows of numbers, got {}"),
        ({"weights": [[], 0.4, [], [], []]}, "weights of step 1 must be a list of numbers, got 0.4"),
        ({"weights": [[0.1], [], [], [], []]}, "step 0 has 0 earlier estimates, and so at most 0 weights, got 1"),
        ({"weights": [[], [float("nan")], [], [], []]}, "weights of step 1 must be finite, got nan"),
        ({"flow": 1}, "flow must be true or false, got 1"),
        ({"format": None}, "its format must be 'art_gym.sampler/1', got None"),
        (
            {"format": "art_gym.sampler/2"},
            "has the format 'art_gym.sampler/2', and these nodes read .*: update art_gym_",
        ),
        ({"format": "art_gym.schedule/1"}, "ours.json is a schedule file: choose it in the node ART Schedule"),
    ],
)
def test_what_art_gym_refuses_is_one_line_here(comfyui: Any, changes: dict[str, Any], message: str) -> None:
    file = comfyui.files / "ours.json"
    file.write_text(json.dumps(GOOD))
    comfyui.node("ARTSampler").load("ours.json")
    file.write_text(json.dumps(GOOD | changes))
    with pytest.raises(ValueError, match=message) as refused:
        comfyui.node("ARTSampler").load("ours.json")
    assert str(refused.value).startswith("ours.json ")
    assert "\n" not in str(refused.value)
    with pytest.raises(ValueError, match=r"ours\.json is not a sampler file"):
        Sampler.load(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a sampler file: not JSON"),
        ("[" * 100_000, "is not a sampler file: not JSON"),
        ("[]", "its format must be 'art_gym.sampler/1', got None"),
    ],
)
def test_no_sampler_at_all(comfyui: Any, text: str, message: str) -> None:
    (comfyui.files / "ours.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        comfyui.node("ARTSampler").load("ours.json")


def test_the_content_is_what_was_saved(comfyui: Any) -> None:
    OURS.save(comfyui.files / "ours.json")
    found = sys.modules["art_gym_nodes.files"].read(str(comfyui.files / "ours.json"), "sampler")
    assert tuple(found.sigmas) == OURS.sigmas
    assert tuple(found.told) == OURS.told
    assert tuple(map(tuple, found.weights)) == OURS.weights
    assert found.flow is OURS.flow


def test_a_missing_file_and_one_of_the_other_kind(comfyui: Any) -> None:
    with pytest.raises(ValueError, match=r"there is no file none\.json in the folder models/art_gym: copy it there"):
        comfyui.node("ARTSampler").load("none.json")
    OURS.save(comfyui.files / "ours.json")
    with pytest.raises(ValueError, match=r"ours\.json is a sampler file: choose it in the node ART Sampler"):
        comfyui.node("ARTSchedule").load("ours.json")
    Schedule(OURS.sigmas, "test").save(comfyui.files / "levels.json")
    with pytest.raises(ValueError, match=r"levels\.json is a schedule file: choose it in the node ART Schedule"):
        comfyui.node("ARTSampler").load("levels.json")


def test_the_nodes_are_as_comfyui_expects(comfyui: Any) -> None:
    OURS.save(comfyui.files / "ours.json")
    (comfyui.files / "notes.txt").write_text("no choice")
    assert set(comfyui.package.NODE_DISPLAY_NAME_MAPPINGS) == set(comfyui.package.NODE_CLASS_MAPPINGS)
    for name, returned in (("ARTSampler", ("SAMPLER", "SIGMAS")), ("ARTSchedule", ("SIGMAS",))):
        kind = comfyui.package.NODE_CLASS_MAPPINGS[name]
        inputs = kind.INPUT_TYPES()
        assert inputs["required"]["file"][0] == ["ours.json"]
        assert [inputs["required"]["denoise"][0], inputs["optional"]["model"][0]] == ["FLOAT", "MODEL"]
        taken = list(inspect.signature(getattr(kind(), kind.FUNCTION)).parameters)
        assert taken == [*inputs["required"], *inputs["optional"]]
        assert (kind.RETURN_TYPES, len(kind.RETURN_NAMES)) == (returned, len(returned))
        assert kind.CATEGORY


def test_a_file_that_changes_is_read_again(comfyui: Any) -> None:
    kind = comfyui.package.NODE_CLASS_MAPPINGS["ARTSampler"]
    OURS.save(comfyui.files / "ours.json")
    before = kind.IS_CHANGED("ours.json", denoise=1.0, model=None)
    assert kind.IS_CHANGED("ours.json", denoise=1.0, model=None) == before
    Sampler((80.0, 0.0), (1.0,), ((),), "other").save(comfyui.files / "ours.json")
    assert kind.IS_CHANGED("ours.json", denoise=1.0, model=None) != before


def test_they_need_only_what_comfyui_has() -> None:
    found = set()
    for file in FOLDER.glob("*.py"):
        for part in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(part, ast.Import):
                found |= {alias.name.split(".")[0] for alias in part.names}
            elif isinstance(part, ast.ImportFrom) and not part.level:
                found.add((part.module or "").split(".")[0])
    assert found - sys.stdlib_module_names == {"comfy", "folder_paths", "torch", "tqdm"}


def test_the_workflow_is_wired(comfyui: Any) -> None:
    """Its links meet inputs and outputs of their type, and our node has its inputs and values in order."""
    flow = json.loads((FOLDER / "example_workflows" / "art_sampler.json").read_text(encoding="utf-8"))
    nodes = {node["id"]: node for node in flow["nodes"]}
    for link, source, output, target, taken, kind in flow["links"]:
        assert link in nodes[source]["outputs"][output]["links"]
        assert nodes[source]["outputs"][output]["type"] == kind
        assert (nodes[target]["inputs"][taken]["link"], nodes[target]["inputs"][taken]["type"]) == (link, kind)
    ours = next(node for node in flow["nodes"] if node["type"] == "ARTSampler")
    kind = comfyui.package.NODE_CLASS_MAPPINGS["ARTSampler"]
    assert tuple(output["type"] for output in ours["outputs"]) == kind.RETURN_TYPES
    assert [taken["name"] for taken in ours["inputs"]] == list(kind.INPUT_TYPES()["optional"])
    assert len(ours["widgets_values"]) == len(kind.INPUT_TYPES()["required"])
