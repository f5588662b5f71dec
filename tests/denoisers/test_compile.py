"""Networks that torch compiles give the same samples, and what cannot be compiled is one line."""

from __future__ import annotations

from functools import partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._inductor import config as inductor

from art_gym.agents.cli.main import main
from art_gym.denoisers import from_diffusers
from art_gym.denoisers.base import Denoiser
from helpers.pipelines import tiny

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Torch's compiler traces networks but writes no code, which takes a minute. Returns what it has compiled."""
    compiled: list[str] = []

    def backend(graph: Any, inputs: Any) -> Any:
        compiled.append(str(graph))
        return graph.forward

    torch.compiler.reset()
    monkeypatch.setattr(torch.nn.Module, "compile", partialmethod(torch.nn.Module.compile, backend=backend))
    return compiled


def denoised(denoiser: Denoiser) -> np.ndarray:
    """D at three batch sizes, of noise."""
    rng, found = np.random.default_rng(0), []
    for count in (1, 3, 2):
        x = rng.standard_normal((count, *denoiser.shape), np.float32)
        found.append(denoiser(x, np.linspace(0.5, 2, count, dtype=np.float32)))
    return np.concatenate(found)


def test_a_compiled_model_gives_the_same(traced: list[str]) -> None:
    pipe = tiny("ddpm")
    expected = denoised(from_diffusers(pipe))
    assert not traced
    np.testing.assert_allclose(denoised(from_diffusers(pipe, compile=True)), expected, rtol=1e-5, atol=1e-5)
    assert traced


def test_memory_is_measured_of_the_network_as_it_is_written(traced: list[str]) -> None:
    plain, compiled = (from_diffusers(tiny("ddpm"), compile=on, max_memory=1e-3) for on in (False, True))
    np.testing.assert_allclose(denoised(compiled), denoised(plain), rtol=1e-5, atol=1e-5)
    assert compiled.max_batch == plain.max_batch
    assert 1 <= plain.max_batch["network"] < 1024


@pytest.mark.parametrize("kind", ["sd1", "controlnet", "ddpm"])
def test_from_the_command_line(
    kind: str, tmp_path: Path, traced: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The networks of pipelines too, which make their own calls."""
    tiny(kind).save_pretrained(tmp_path / "model")
    said = ["instant", "--model", str(tmp_path / "model"), "--steps", "4"]
    if kind != "ddpm":
        (tmp_path / "prompts.txt").write_text("a fox")
        said += ["--prompts", str(tmp_path / "prompts.txt"), "--guidance-scale", "1"]
    if kind == "controlnet":
        from PIL import Image

        Image.new("RGB", (8, 8)).save(tmp_path / "edges.png")
        (tmp_path / "args.yaml").write_text("image: edges.png\n")
        said += ["--pipeline-args", str(tmp_path / "args.yaml")]
    for name, flags in (("a", []), ("b", ["--compile"])):
        assert main([*said, *flags, "-o", str(tmp_path / f"{name}.json")]) == 0
        assert bool(traced) == bool(flags)
    levels = [capsys.readouterr() and (tmp_path / f"{name}.json").read_text() for name in "ab"]
    assert len(levels[0]) == pytest.approx(len(levels[1]), abs=40)


def test_without_a_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.compiler.reset()
    monkeypatch.setattr(inductor.cpp, "cxx", ("no-such-compiler",))
    tiny("ddpm").save_pretrained(tmp_path / "model")
    said = ["instant", "--model", str(tmp_path / "model"), "--compile", "-o", str(tmp_path / "s.json")]
    assert main(said) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("art-gym: torch cannot compile UNet2DModel here (")
    assert "no-such-compiler" in error
    assert error.endswith("leave out compile=True (--compile), or install the compiler that torch asks for")
