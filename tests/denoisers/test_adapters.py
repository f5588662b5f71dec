"""Models of diffusers round-trip: our sampling of a grid equals diffusers' own schedulers, and bad input says so."""

from __future__ import annotations

import pickle
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from art_gym.denoisers import TorchDenoiser, from_callable, from_diffusers, from_edm
from art_gym.denoisers.diffusers_folders import load_folder
from art_gym.denoisers.variance_preserving import vp_sigmas
from art_gym.envs.env import ARTDiffusionEnv
from art_gym.export.diffusers import diffusers_arguments
from art_gym.measures.errors import image_error
from art_gym.schedules import Schedule
from art_gym.solvers.loop import integrate

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of diffusers and what it imports
    import diffusers

SIZE = (2, 8, 8)
CLOSE = {"rtol": 1e-5, "atol": 1e-5}  # float32 over a run


def start(sigma: float) -> torch.Tensor:
    return sigma * torch.randn(3, *SIZE, generator=torch.Generator().manual_seed(1))


def run(scheduler: Any, model: Any, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        for timestep in scheduler.timesteps:
            scaled = scheduler.scale_model_input(x, timestep) if hasattr(scheduler, "scale_model_input") else x
            x = scheduler.step(model(scaled, timestep.expand(len(x))).sample, timestep, x).prev_sample
    return x


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_euler_with_our_sigmas(prediction: str, tiny_model: Any) -> None:
    model = tiny_model()
    scheduler = diffusers.EulerDiscreteScheduler(prediction_type=prediction)
    levels = Schedule((14.0, 5.5, 2.0, 0.7, 0.2, 0.05, 0.0), "test")
    scheduler.set_timesteps(**diffusers_arguments(levels, scheduler))
    np.testing.assert_allclose(scheduler.sigmas, levels.sigmas, rtol=1e-6)
    theirs = run(scheduler, model, start(14.0))
    ours = integrate(from_diffusers(model, scheduler, data_std=1.0), levels.sigmas, start(14.0), "euler")
    torch.testing.assert_close(ours, theirs, **CLOSE)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_multistep_with_our_timesteps(prediction: str, tiny_model: Any) -> None:
    model = tiny_model()
    scheduler = diffusers.DPMSolverMultistepScheduler(prediction_type=prediction, final_sigmas_type="zero")
    wanted = Schedule((14.0, 5.5, 2.0, 0.7, 0.2, 0.05, 0.0), "test")
    arguments = diffusers_arguments(wanted, scheduler)
    scheduler.set_timesteps(**arguments)
    assert scheduler.timesteps.tolist() == arguments["timesteps"]
    levels = np.append(vp_sigmas(scheduler)[arguments["timesteps"]], 0.0)
    np.testing.assert_allclose(levels[:-1], wanted.sigmas[:-1], rtol=0.02)  # of the grid of 1000
    noise = start(float(levels[0]))
    theirs = run(scheduler, model, noise / float(1 + levels[0] ** 2) ** 0.5)
    for rounding in (False, True):
        ours = integrate(from_diffusers(model, scheduler, rounding=rounding), levels, noise, "dpmpp_2m")
        torch.testing.assert_close(ours, theirs, **CLOSE)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_heun_with_our_timesteps(prediction: str, tiny_model: Any) -> None:
    model = tiny_model()
    scheduler = diffusers.HeunDiscreteScheduler(prediction_type=prediction)
    arguments = diffusers_arguments(Schedule((14.0, 2.0, 0.7, 0.1, 0.0), "test"), scheduler)
    scheduler.set_timesteps(**arguments)
    levels = np.append(vp_sigmas(scheduler)[arguments["timesteps"]], 0.0)
    noise = start(float(levels[0]))
    theirs = run(scheduler, model, noise)
    ours = integrate(from_diffusers(model, scheduler), levels, noise, "heun")
    torch.testing.assert_close(ours, theirs, **CLOSE)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_rounding_is_that_of_diffusers(prediction: str, tiny_model: Any) -> None:
    """On levels between the timesteps, where the network is called at the nearest one."""
    model = tiny_model()
    scheduler = diffusers.DPMSolverMultistepScheduler(
        prediction_type=prediction, use_karras_sigmas=True, final_sigmas_type="zero"
    )
    scheduler.set_timesteps(7)
    levels = scheduler.sigmas.double().numpy()
    noise = start(float(levels[0]))
    theirs = run(scheduler, model, noise / float(1 + levels[0] ** 2) ** 0.5)
    ours, between = (
        integrate(from_diffusers(model, scheduler, rounding=rounding), levels, noise, "dpmpp_2m")
        for rounding in (True, False)
    )
    torch.testing.assert_close(ours, theirs, **CLOSE)
    assert not torch.allclose(between, theirs, **CLOSE)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("karras", [False, True])
def test_a_model_of_all_levels(karras: bool, tiny_model: Any) -> None:
    """As Stable Video Diffusion's: called at ¼ log σ, on a range that its scheduler names."""
    model = tiny_model()
    options = {"timestep_type": "continuous", "sigma_min": 0.002, "sigma_max": 700.0, "use_karras_sigmas": karras}
    scheduler = diffusers.EulerDiscreteScheduler(prediction_type="v_prediction", **options)
    denoiser = from_diffusers(model, scheduler)
    assert (denoiser.sigma_min, denoiser.sigma_max) == (0.002, 700.0)
    if karras:
        scheduler.set_timesteps(7)
    else:
        levels = Schedule((600.0, 50.0, 5.5, 0.7, 0.05, 0.004, 0.0), "test", solver="euler")
        scheduler.set_timesteps(**diffusers_arguments(levels, scheduler))
        np.testing.assert_allclose(scheduler.sigmas, levels.sigmas, rtol=1e-6)
    used = scheduler.sigmas.double().numpy()
    noise = start(float(used[0]))
    torch.testing.assert_close(integrate(denoiser, used, noise, "euler"), run(scheduler, model, noise), **CLOSE)
    with pytest.raises(ValueError, match=r"rounding=True is for models of discrete timesteps.*: leave it out"):
        from_diffusers(model, scheduler, rounding=True)
    ends = diffusers.EulerDiscreteScheduler(prediction_type="v_prediction", timestep_type="continuous")
    with pytest.raises(ValueError, match="timestep_type='continuous' without sigma_min and sigma_max"):
        from_diffusers(model, ends)


def test_autocast_around_a_call_is_not_asked_for(tiny_model: Any) -> None:
    denoiser = from_diffusers(tiny_model(), diffusers.DDPMScheduler())
    x, sigma = start(2.0), torch.full((3,), 2.0)
    expected = denoiser(x, sigma)
    with torch.autocast("cpu"):
        torch.testing.assert_close(denoiser(x, sigma), expected, rtol=0, atol=0)
    cast = from_diffusers(tiny_model(), diffusers.DDPMScheduler(), autocast=True)(x, sigma)
    assert not torch.equal(cast, expected)
    assert torch.allclose(cast, expected, atol=0.1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_flow_matching_with_shift(shift: float, tiny_model: Any) -> None:
    model = tiny_model()
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    levels = Schedule((50.0, 5.0, 1.0, 0.3, 0.05, 0.0), "test", flow=True)
    scheduler.set_timesteps(**diffusers_arguments(levels, scheduler))
    used = np.array(levels.sigmas) / (1 + np.array(levels.sigmas))
    np.testing.assert_allclose(scheduler.sigmas, used, rtol=1e-5)
    noise = start(50.0)
    theirs = run(scheduler, model, noise / 51.0)  # z = (1 − s) x
    ours = integrate(from_diffusers(model, scheduler), levels.sigmas, noise, "euler")
    torch.testing.assert_close(ours, theirs, **CLOSE)


@pytest.mark.filterwarnings("ignore")
def test_flow_matching_with_multistep(tiny_model: Any) -> None:
    """Diffusers' multistep solver on a flow has levels of its own: ours on them does the same, rounded or not."""
    model = tiny_model()
    scheduler = diffusers.DPMSolverMultistepScheduler(
        use_flow_sigmas=True, flow_shift=2.0, prediction_type="flow_prediction", final_sigmas_type="zero"
    )
    scheduler.set_timesteps(7)
    times = scheduler.sigmas.double().numpy()
    levels = times / (1 - times)
    noise = start(float(levels[0]))
    for rounding in (True, False):
        if not rounding:
            scheduler.set_timesteps(7)
            scheduler.timesteps = scheduler.sigmas[:-1] * 1000  # which it truncates to whole ones
        theirs = run(scheduler, model, noise * float(1 - times[0]))
        ours = integrate(from_diffusers(model, scheduler, rounding=rounding), levels, noise, "dpmpp_2m")
        torch.testing.assert_close(ours, theirs, **CLOSE)


def text_conditioned() -> tuple[Any, Any]:
    """A conditional UNet with guidance between two prompts' embeddings, fixed in a callable."""
    embeddings = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(3))

    def call(model: Any, x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        free, given = (
            model(x, timestep, encoder_hidden_states=prompt.expand(len(x), -1, -1)).sample for prompt in embeddings
        )
        return free + 3 * (given - free)

    return conditional_model(), call


def class_conditioned() -> tuple[Any, Any]:
    """A diffusion transformer that predicts a variance too, for one class."""
    torch.manual_seed(0)
    model = diffusers.DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=4,
        in_channels=2,
        out_channels=4,
        num_layers=1,
        sample_size=8,
        patch_size=2,
        num_embeds_ada_norm=10,
        norm_num_groups=1,
    )

    def call(model: Any, x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        labels = torch.full((len(x),), 7)
        return model(x, timestep, class_labels=labels).sample[:, :2]

    return model.eval(), call


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [text_conditioned, class_conditioned])
def test_conditional_models_through_a_callable(make: Any) -> None:
    model, call = make()
    scheduler = diffusers.EulerDiscreteScheduler()
    levels = Schedule((14.0, 2.0, 0.5, 0.1, 0.0), "test")
    scheduler.set_timesteps(**diffusers_arguments(levels, scheduler))

    def called(x: torch.Tensor, timestep: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=call(model, x, timestep))

    theirs = run(scheduler, called, start(14.0))
    ours = integrate(from_diffusers(model, scheduler, call=call, data_std=1.0), levels.sigmas, start(14.0), "euler")
    torch.testing.assert_close(ours, theirs, **CLOSE)


@pytest.mark.filterwarnings("ignore")
def test_saved_pipeline_round_trips(tmp_path: Path, tiny_model: Any) -> None:
    pipeline = diffusers.DDPMPipeline(tiny_model(), diffusers.DDPMScheduler())
    pipeline.save_pretrained(tmp_path / "pipeline")
    loaded = from_diffusers(tmp_path / "pipeline")
    direct = from_diffusers(tiny_model(), diffusers.DDPMScheduler())
    assert loaded.shape == SIZE
    assert loaded.fingerprint == direct.fingerprint
    x, sigma = start(3.0).numpy(), np.full(3, 3.0, np.float32)
    np.testing.assert_allclose(loaded(x, sigma), direct(x, sigma), rtol=1e-5)
    by_folder = from_diffusers(tmp_path / "pipeline" / "unet", tmp_path / "pipeline" / "scheduler")
    np.testing.assert_allclose(by_folder(x, sigma), direct(x, sigma), rtol=1e-5)
    by_pipeline = from_diffusers(tiny_model(), str(tmp_path / "pipeline"))  # whose scheduler it is
    assert by_pipeline.fingerprint == direct.fingerprint


@pytest.mark.filterwarnings("ignore")
def test_parts_of_a_pipeline_may_lack_its_variant(tmp_path: Path, tiny_model: Any) -> None:
    """As diffusers has it: what was saved without the variant is loaded without."""
    vqvae = diffusers.VQModel(
        block_out_channels=(32,), down_block_types=("DownEncoderBlock2D",), up_block_types=("UpDecoderBlock2D",)
    )
    pipeline = diffusers.LDMPipeline(vqvae, tiny_model(), diffusers.DDIMScheduler())
    pipeline.save_pretrained(tmp_path, variant="fp16")
    (saved,) = (tmp_path / "vqvae").glob("*.safetensors")
    saved.rename(saved.with_name(saved.name.replace(".fp16", "")))
    loaded = load_folder(tmp_path, "fp16")
    for name, tensor in pipeline.vqvae.state_dict().items():
        torch.testing.assert_close(loaded.vqvae.state_dict()[name], tensor)


@pytest.mark.filterwarnings("ignore")
def test_variants_of_weights_load_in_silence(tmp_path: Path, tiny_model: Any, capfd: pytest.CaptureFixture) -> None:
    scheduler = diffusers.DDPMScheduler()
    diffusers.DDPMPipeline(tiny_model().half(), scheduler).save_pretrained(tmp_path, variant="fp16")
    logging = diffusers.utils.logging
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    capfd.readouterr()
    half = from_diffusers(tmp_path, variant="fp16", dtype=torch.float16)
    assert capfd.readouterr().err == ""
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    full, x, sigma = from_diffusers(tiny_model(), scheduler), start(1.0), torch.ones(3)
    torch.testing.assert_close(half(x, sigma), full(x, sigma), rtol=0.01, atol=0.01)


@pytest.mark.filterwarnings("ignore")
def test_a_callable_conditions_the_model(tiny_model: Any) -> None:
    """Guidance fixed in a callable: twice the model's output minus a copy that sees another time."""
    model, scheduler = tiny_model(), diffusers.DDPMScheduler()

    def guided(network: Any, x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        return 2 * network(x, timestep).sample - network(x, 0 * timestep).sample

    denoiser = from_diffusers(model, scheduler, call=guided)
    x, sigma = start(1.0), torch.ones(3)
    plain = from_diffusers(model, scheduler)
    assert not torch.allclose(denoiser(x, sigma), plain(x, sigma))
    assert denoiser.fingerprint is None


def test_batches_are_split_and_types_kept() -> None:
    sizes: list[int] = []

    def function(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        assert x.dtype == torch.float32
        return x / (1 + sigma[:, None] ** 2)

    denoiser = from_callable(function, (2,), max_batch=4)
    x, sigma = np.ones((10, 2)), np.arange(1.0, 11.0)
    found = denoiser(x, sigma)
    assert sizes == [4, 4, 2]
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, x / (1 + sigma[:, None] ** 2), rtol=1e-6)
    wanted = torch.ones(3, 2, requires_grad=True)
    denoiser(wanted, torch.ones(3)).sum().backward()
    assert wanted.grad is not None


def test_a_device_without_the_memory_gets_smaller_batches(tiny_model: Any) -> None:
    model = tiny_model()
    # In batches of the same size, since those of another round in another way on some processors.
    whole = from_diffusers(model, diffusers.DDPMScheduler())
    expected = np.concatenate([whole(np.ones((count, *SIZE)), np.ones(count)) for count in (2, 2, 1)])
    sizes: list[int] = []

    def short_of_memory(module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        sizes.append(len(inputs[0]))
        if len(inputs[0]) > room:
            raise torch.cuda.OutOfMemoryError("out of memory. Tried to allocate 20.00 GiB.")

    denoiser = from_diffusers(model, diffusers.DDPMScheduler(), max_batch=8)
    model.register_forward_pre_hook(short_of_memory)
    room = 2
    np.testing.assert_allclose(denoiser(np.ones((5, *SIZE)), np.ones(5)), expected, atol=1e-6)
    assert sizes == [5, 2, 2, 1]
    room = 0
    with pytest.raises(ValueError, match=r"cpu has not the memory for latents .*, 1 at a time .*20\.00 GiB.*smaller"):
        denoiser(np.ones((5, *SIZE)), np.ones(5))


@pytest.mark.filterwarnings("ignore")
def test_goes_to_environments_in_other_processes(tiny_model: Any) -> None:
    """By cloudpickle, as those of Gymnasium and of stable-baselines3 go: plain pickle knows no inner function."""
    denoiser = from_diffusers(tiny_model(), diffusers.DDPMScheduler(), max_memory=1e-3)
    again = pickle.loads(cloudpickle.dumps(denoiser))
    x, sigma = start(3.0), torch.full((3,), 3.0)
    torch.testing.assert_close(again(x, sigma), denoiser(x, sigma), rtol=0, atol=0)
    assert again.fingerprint == denoiser.fingerprint


def folder_with(tmp_path: Path, **files: str | bytes) -> Path:
    for name, content in files.items():
        file = tmp_path / name.replace("__", ".")
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return tmp_path


@pytest.mark.filterwarnings("ignore")
def test_bad_models_are_one_line_errors(tmp_path: Path, tiny_model: Any) -> None:
    with pytest.raises(ValueError, match=r"no model_index\.json or config\.json"):
        from_diffusers(tmp_path)
    pickled = folder_with(tmp_path, config__json='{"_class_name": "UNet2DModel"}', model__bin=b"pickle")
    with pytest.raises(ValueError, match="pickled weights only"):
        from_diffusers(pickled, diffusers.DDPMScheduler())
    (tmp_path / "model.bin").unlink()
    remedy = r"cannot load .*: download it again, or save the model again with save_pretrained\(safe_serialization=True"
    with pytest.raises(ValueError, match=remedy) as missing:
        from_diffusers(pickled, diffusers.DDPMScheduler())
    assert "\n" not in str(missing.value)
    for content in ("[]", '{"_class_name": 3}', '{"_class_name": "NoSuchModel"}', "not JSON"):
        folder_with(tmp_path, model_index__json=content)
        with pytest.raises(ValueError, match=r"model_index\.json names no class of diffusers"):
            from_diffusers(tmp_path)
    (tmp_path / "model_index.json").unlink()
    tiny_model().save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match=r"model holds a UNet2DModel, which is no scheduler of diffusers: give one"):
        from_diffusers(tiny_model(), tmp_path / "model")
    weights = next((tmp_path / "model").glob("*.safetensors"))
    diffusers.DDPMPipeline(tiny_model(), diffusers.DDPMScheduler()).save_pretrained(tmp_path / "pipeline")
    tensors = load_file(weights)
    del tensors["conv_out.bias"]
    for file in (weights, tmp_path / "pipeline" / "unet" / weights.name):  # a tensor less: it would be random
        save_file(tensors, file)
        folder = tmp_path / file.relative_to(tmp_path).parts[0]
        with pytest.raises(ValueError, match=r"1 of its weights are not in the files, the first conv_out\.bias"):
            from_diffusers(folder, diffusers.DDPMScheduler())
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match=remedy) as truncated:
        from_diffusers(tmp_path / "model", diffusers.DDPMScheduler())
    assert "\n" not in str(truncated.value)
    for wrong in ({"prediction_type": "score"}, {"model": tmp_path / "nothing there", "prediction_type": ""}):
        with pytest.raises(ValueError, match=r"unknown prediction type .*: choose one of epsilon, v_pred"):
            from_diffusers(**{"model": tiny_model(), "scheduler": diffusers.DDPMScheduler(), **wrong})
    flow = diffusers.FlowMatchEulerDiscreteScheduler()
    with pytest.raises(ValueError, match=r"no table of noise levels .* or for flow_prediction a FlowMatch scheduler"):
        from_diffusers(tiny_model(), flow, prediction_type="epsilon")
    with pytest.raises(ValueError, match="pass its scheduler too"):
        from_diffusers(tiny_model())


class Edm:
    """Stands for a network of NVLabs' EDM."""

    img_channels, img_resolution, sigma_min, sigma_max = 1, 4, 0.0, float("inf")

    def to(self, _: object) -> Edm:
        return self

    eval = requires_grad_ = lambda self, *_: self

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        return x / (1 + sigma[:, None, None, None] ** 2)


def edm_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(sys.modules, "edm_stub", type(sys)("edm_stub"))
    sys.modules["edm_stub"].Edm = Edm  # type: ignore[attr-defined]
    monkeypatch.setattr(Edm, "__module__", "edm_stub")
    file = folder / "network.pkl"
    file.write_bytes(pickle.dumps({"ema": Edm()}))
    return file


def test_edm_pickles_need_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = edm_file(tmp_path, monkeypatch)
    with pytest.raises(ValueError, match="trust_pickle=True"):
        from_edm(file)
    denoiser = from_edm(file, trust_pickle=True)
    assert denoiser.shape == (1, 4, 4)
    assert (denoiser.sigma_min, denoiser.sigma_max) == (0.002, 80.0)
    np.testing.assert_allclose(denoiser(np.ones((2, 1, 4, 4), np.float32), np.ones(2, np.float32)), 0.5)
    with pytest.raises(ValueError, match="there is no file"):
        from_edm(tmp_path / "none.pkl")


def test_edm_files_that_cannot_be_loaded(tmp_path: Path) -> None:
    truncated = tmp_path / "truncated.pkl"
    truncated.write_bytes(pickle.dumps({"ema": 1.0})[:8])
    with pytest.raises(ValueError, match=r"cannot load .*download it again if it is truncated"):
        from_edm(truncated, trust_pickle=True)
    foreign = tmp_path / "foreign.pkl"
    foreign.write_bytes(b"cdnnlib.util\nEasyDict\n.")  # a class of NVLabs' repository
    with pytest.raises(ValueError, match=r"No module named 'dnnlib'.*PYTHONPATH"):
        from_edm(foreign, trust_pickle=True)


def test_edm_labels_and_range_name_the_endpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Precise endpoints of one class or noise range are not taken for those of another."""
    file = edm_file(tmp_path, monkeypatch)
    labels = [None, torch.eye(3)[:1], torch.eye(3)[1:2]]
    found = {from_edm(file, trust_pickle=True, labels=label).fingerprint for label in labels}
    found |= {from_edm(file, trust_pickle=True, sigma_max=40.0).fingerprint}
    assert len(found) == 4
    assert None not in found
    with pytest.raises(ValueError, match="sigma_min=-1 is outside the range that the model knows, 0 to inf"):
        from_edm(file, trust_pickle=True, sigma_min=-1.0)


@pytest.mark.filterwarnings("ignore")
def test_endpoints_are_named_by_all_that_they_depend_on(tiny_model: Any) -> None:
    """One network, but another noise table, range, precision, prediction or scale: other precise endpoints."""
    scheduler, other = diffusers.DDPMScheduler(), diffusers.DDPMScheduler(beta_schedule="scaled_linear")
    flow = diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=500)
    variants = [
        from_diffusers(tiny_model(), other),
        from_diffusers(tiny_model(), flow),
        from_diffusers(tiny_model(), scheduler, sigma_max=80.0),
        from_diffusers(tiny_model(), scheduler, dtype=torch.bfloat16),
        from_diffusers(tiny_model(), scheduler, prediction_type="sample"),
        from_diffusers(tiny_model(), scheduler, rounding=True),
        from_diffusers(tiny_model(), scheduler, data_std=1.0),
    ]
    plain = from_diffusers(tiny_model(), scheduler).fingerprint
    assert len({plain, *(variant.fingerprint for variant in variants)}) == 1 + len(variants)
    assert plain == from_diffusers(tiny_model(), diffusers.DDPMScheduler(), max_batch=3).fingerprint


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample", "flow_prediction"])
def test_only_the_network_runs_in_half_precision(prediction: str, tiny_model: Any) -> None:
    """D's error is the network's own, and stays small against the data where σ is large or small."""
    flow = prediction == "flow_prediction"
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler() if flow else diffusers.DDPMScheduler()
    options = {} if flow else {"prediction_type": prediction}
    half, full = (
        from_diffusers(tiny_model(), scheduler, dtype=dtype, **options) for dtype in (torch.bfloat16, torch.float32)
    )
    for sigma in (full.sigma_max, 1.0, full.sigma_min):
        x, levels = start(1.0) * (1 + sigma**2) ** 0.5, torch.full((3,), sigma)
        weight = {  # of the network's output in D
            "epsilon": sigma,
            "v_prediction": sigma / (1 + sigma**2) ** 0.5,
            "sample": 1.0,
            "flow_prediction": sigma / (1 + sigma),
        }[prediction]
        difference = (half(x, levels) - full(x, levels)).abs().max() / weight
        assert difference < 0.03  # the tiny network's outputs are about 1, bfloat16 has three digits
    assert half(x, levels).dtype == torch.float32


@pytest.mark.filterwarnings("ignore")
def test_noise_range_is_part_of_the_models(tiny_model: Any) -> None:
    scheduler = diffusers.DDPMScheduler()
    assert from_diffusers(tiny_model(), scheduler, sigma_min=0.02, sigma_max=80.0).sigma_max == 80.0
    with pytest.raises(ValueError, match=r"sigma_max=500 is outside the range that the model knows, 0\.01\d* to 157"):
        from_diffusers(tiny_model(), scheduler, sigma_max=500.0)
    with pytest.raises(ValueError, match=r"sigma_min=0\.001 is outside"):
        from_diffusers(tiny_model(), scheduler, sigma_min=0.001)


@pytest.mark.filterwarnings("ignore")
def test_models_that_cannot_be_used_as_given(tiny_model: Any) -> None:
    """Refused when they are handed over, in one line, whatever their code raises."""
    scheduler = diffusers.DDPMScheduler()
    for make, message in (
        (lambda: from_diffusers(conditional_model(), scheduler), "'encoder_hidden_states'.*needs call="),
        (lambda: from_diffusers(variance_model(), scheduler), "does it predict a variance as well"),
        (lambda: from_diffusers(tiny_model(), scheduler, shape=(3, 8, 8)), r"shape \(1, 3, 8, 8\) .*check shape="),
        (lambda: from_diffusers(tiny_model(), scheduler, call=lambda model, x, time: model(x)), "cannot be run"),
        (lambda: from_diffusers(tiny_model(), diffusers.EDMEulerScheduler()), "no table of noise levels"),
        (lambda: from_diffusers(tiny_model(), scheduler, device="cuda:99"), "cannot use the device 'cuda:99'"),
        (lambda: from_diffusers(tiny_model(), scheduler, device="foo"), "cannot use the device 'foo'"),
        (lambda: from_diffusers(torch.nn.Linear(2, 2), scheduler), "Linear does not say its latents' shape: pass"),
        (lambda: from_diffusers(tiny_model(), type(scheduler)), "scheduler is the class DDPMScheduler: give an object"),
        (lambda: from_diffusers(tiny_model(), tiny_model()), "scheduler is a UNet2DModel, which is no scheduler of"),
        (lambda: from_diffusers(scheduler, scheduler), "a DDPMScheduler is no network: pass a pipeline or a model"),
        (lambda: from_diffusers(torch.nn.Linear, scheduler), "model is the class Linear: give an object"),
        (lambda: from_diffusers(tiny_model(), scheduler, shape=8), "shape must be a non-empty tuple .*, got 8"),
        (lambda: from_diffusers(tiny_model(), scheduler, dtype="float16"), r"such as torch\.float16, got 'float16'"),
        (lambda: from_diffusers(tiny_model(), scheduler, dtype=torch.int8), r"such as torch\.float16, got torch\.int8"),
        (lambda: from_diffusers(tiny_model(), scheduler, max_batch=2.5), r"max_batch must be a whole .*, got 2\.5"),
        (lambda: from_diffusers(tiny_model(), scheduler, max_memory="1"), "max_memory must be a positive .*, got '1'"),
    ):
        with pytest.raises(ValueError, match=message) as refused:
            make()
        assert "\n" not in str(refused.value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model, x, time: model(x, time), r"got a UNet2DOutput: take its \.sample"),
        (lambda model, x, time: model(x, time).sample.numpy(), "got a ndarray: return that tensor"),
        (lambda model, x, time: None, "got a NoneType: return that tensor"),
    ],
)
def test_calls_that_give_no_tensor(call: Any, message: str, tiny_model: Any) -> None:
    with pytest.raises(ValueError, match=r"output must be a tensor of shape \(1, 2, 8, 8\), " + message) as refused:
        from_diffusers(tiny_model(), diffusers.DDPMScheduler(), call=call)
    assert "\n" not in str(refused.value)


def variance_model() -> Any:
    return diffusers.UNet2DModel(
        sample_size=8,
        in_channels=2,
        out_channels=4,
        block_out_channels=(8,),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
    )


def conditional_model() -> Any:
    torch.manual_seed(0)
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        in_channels=2,
        out_channels=2,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=6,
        attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    ).eval()


def test_shapes_that_do_not_fit() -> None:
    denoiser = TorchDenoiser(lambda x, sigma: x[:, :1], (2, 4, 4))
    with pytest.raises(ValueError, match=r"expected latents of shape \(B, 2, 4, 4\), got \(3, 1, 4, 4\)"):
        denoiser(torch.ones(3, 1, 4, 4), torch.ones(3))
    with pytest.raises(ValueError, match="does it predict a variance as well"):
        denoiser(torch.ones(3, 2, 4, 4), torch.ones(3))


@pytest.mark.filterwarnings("ignore")
def test_latent_pipeline_is_judged_in_image_space(tmp_path: Path, tiny_model: Any) -> None:
    """A saved latent-diffusion pipeline: its VAE decodes with its own scaling, and the reward may be of images."""
    torch.manual_seed(1)
    vae = diffusers.AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=2,
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        scaling_factor=0.5,
    ).eval()
    diffusers.LDMPipeline(vae, tiny_model(), diffusers.DDIMScheduler()).save_pretrained(tmp_path / "latent")
    denoiser = from_diffusers(tmp_path / "latent", data_std=1.0, max_batch=2)
    latents = np.random.default_rng(0).standard_normal((5, *SIZE)).astype(np.float32)
    with torch.no_grad():
        images = vae.decode(torch.from_numpy(latents) / 0.5).sample.numpy()
    assert images.shape == (5, 3, 16, 16)
    np.testing.assert_allclose(denoiser.decode(latents), images, atol=1e-5)
    moved = latents + np.float32(0.1)
    expected = np.sqrt(((images - denoiser.decode(moved)) ** 2).mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(image_error(denoiser, latents, moved), expected, rtol=1e-5)
    config = {"solver": "euler", "num_steps": 2, "population": 2, "noises": 2, "reward": "log_ratio_images"}
    env = ARTDiffusionEnv(task=denoiser, **config)
    env.reset(seed=0)
    env.step(np.full(1, 0.2, np.float32))
    *_, terminated, _, info = (step := env.step(np.zeros(1, np.float32)))  # the last step asks no action map
    assert terminated
    core, landed = env.unwrapped.core, env.unwrapped.state
    ours, edm = (
        of(landed, images=True)[0].mean() for of in (core.problem.endpoint_errors, core.problem.reference_errors)
    )
    assert step[1] == pytest.approx(np.log(edm / ours), rel=1e-4)
    assert step[1] != pytest.approx(np.log(info["error_reference"] / info["error"]), rel=1e-3)


def test_image_reward_needs_a_decoder() -> None:
    with pytest.raises(ValueError, match=r"does not fit the task 'gaussian_1d': .* has no decoder"):
        gym.make("art_gym:ARTDiffusion-v0", task="gaussian_1d", num_steps=1, reward="log_ratio_images")
