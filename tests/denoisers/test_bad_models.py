"""A model that cannot be used gives one line that says why."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from art_gym.denoisers import TorchDenoiser, from_diffusers
from helpers.diffusion import conditional_model

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # from diffusers and its imports
    import diffusers


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
        with pytest.raises(ValueError, match=r"model_index\.json (names the class|is no configuration|names no class)"):
            from_diffusers(tmp_path)
    (tmp_path / "model_index.json").unlink()
    tiny_model().save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match=r"model holds a UNet2DModel, which is no scheduler of diffusers: give one"):
        from_diffusers(tiny_model(), tmp_path / "model")
    weights = next((tmp_path / "model").glob("*.safetensors"))
    diffusers.DDPMPipeline(tiny_model(), diffusers.DDPMScheduler()).save_pretrained(tmp_path / "pipeline")
    tensors = load_file(weights)
    del tensors["conv_out.bias"]
    for file in (weights, tmp_path / "pipeline" / "unet" / weights.name):  # one tensor less, which would be random
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
    """They are refused at once in one line, whatever their code raises."""
    scheduler = diffusers.DDPMScheduler()
    for make, message in (
        (lambda: from_diffusers(conditional_model(), scheduler), "'encoder_hidden_states'.*needs --prompts"),
        (lambda: from_diffusers(variance_model(), scheduler), "does it predict a variance as well"),
        (lambda: from_diffusers(tiny_model(), scheduler, shape=(3, 8, 8)), r"shape \(1, 3, 8, 8\) .*check shape="),
        (lambda: from_diffusers(tiny_model(), scheduler, call=lambda model, x, time: model(x)), "cannot be run"),
        (
            lambda: from_diffusers(tiny_model(), diffusers.IPNDMScheduler(), prediction_type="sample"),
            "no table of noise levels",
        ),
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


def test_shapes_that_do_not_fit() -> None:
    denoiser = TorchDenoiser(lambda x, sigma: x[:, :1], (2, 4, 4))
    with pytest.raises(ValueError, match=r"expected latents of shape \(B, 2, 4, 4\), got \(3, 1, 4, 4\)"):
        denoiser(torch.ones(3, 1, 4, 4), torch.ones(3))
    with pytest.raises(ValueError, match="does it predict a variance as well"):
        denoiser(torch.ones(3, 2, 4, 4), torch.ones(3))
