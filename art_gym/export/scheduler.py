"""`ARTScheduler`: a scheduler of diffusers that samples with a sampler, so that any pipeline can use one.

    pipe.scheduler = ARTScheduler.from_sampler(Sampler.load("sampler.json"), pipe.scheduler)

This module needs torch and diffusers, and nothing of the environments or of the training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_utils import KarrasDiffusionSchedulers, SchedulerMixin, SchedulerOutput

from art_gym.denoisers.diffusers_folders import check_scheduler
from art_gym.denoisers.predictions import PREDICTIONS
from art_gym.export import network_calls as calls
from art_gym.export.network_calls import NetworkCalls
from art_gym.samplers.coefficients import Coefficients, mix
from art_gym.samplers.sampler import Sampler, as_sampler
from art_gym.schedules.schedule import Schedule


@dataclass
class ARTSchedulerOutput(SchedulerOutput):
    """What a step returns.

    Attributes:
        prev_sample: (B, *shape) latents for the next call of the network.
        pred_original_sample: (B, *shape) denoised estimate of this call.
    """

    pred_original_sample: torch.Tensor | None = None


class ARTScheduler(SchedulerMixin, ConfigMixin):  # type: ignore[misc]  # both have a config_name
    """Sample with the levels, the weights and the told levels of a `Sampler`, one network call a step.

    The results are those of `art_gym.sample` with `from_diffusers`. Between steps the latents are in the scaling that
    the network takes at its next told level τ = cσ: x / √(1 + τ²), x / (1 + τ) for flow models, x / √(data² + τ²) for
    EDM's. So pipelines that do not call ``scale_model_input`` work too. The last latents are the samples.

    The first latents are noise ε times ``init_noise_sigma``, which stands for x = σ₀ε. Pipelines of flow models do not
    multiply. Plain noise is x = σ₀ε at τ = σ₀ − 1, so a flow model's first call is told this level (`coefficients`),
    unless the pipeline begins at an image.
    DDPMPipeline and DiTPipeline do not multiply either, so they start at x = √(1 + τ²) ε.

    Make one with `from_sampler`. ``save_pretrained`` and ``from_pretrained`` keep the sampler.

    Args:
        sampler: a `Sampler`, or its fields as the configuration holds them.
        prediction_type: epsilon, v_prediction, sample or flow_prediction.
        num_train_timesteps, beta_start, beta_end, beta_schedule, trained_betas, rescale_betas_zero_snr: noise levels of
            the network's timesteps, as in DDPMScheduler.
        timestep_type, sigma_min, sigma_max: "continuous" and the ends of the noise range, for a network of all levels.
        sigma_data: standard deviation of the data for which a network is preconditioned as EDM's are.

    Attributes:
        sampler: the sampler in use, which ``set_timesteps`` may have resampled.
        timesteps: (K,) timesteps of the told levels. They need not be whole.
        sigmas: for flow models only, (K+1,) levels s = τ/(1 + τ) that the network is told, and 0.
        init_noise_sigma: standard deviation of the first latents.
        step_index: the next step, None before the first one.
        begin_index: the step that sampling begins with, if a pipeline has set it.

    Raises:
        ValueError: for an unknown prediction type, or a told level outside the noise range of the model.
    """

    order = 1
    _compatibles = [*(kind.name for kind in KarrasDiffusionSchedulers), *calls.MORE_SOURCES]  # noqa: RUF012

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        sampler: Sampler | Mapping[str, Any],
        prediction_type: str = "epsilon",
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: list[float] | None = None,
        rescale_betas_zero_snr: bool = False,
        timestep_type: str = "discrete",
        sigma_min: float | None = None,
        sigma_max: float | None = None,
        sigma_data: float | None = None,
    ) -> None:
        if prediction_type not in PREDICTIONS:
            raise ValueError(
                f"unknown prediction type {prediction_type!r}: choose one of {', '.join(PREDICTIONS)} with "
                f"prediction_type="
            )
        own = sampler if isinstance(sampler, Sampler) else Sampler(**sampler)
        plain = json.loads(json.dumps(asdict(own)))  # lists, as a file gives them
        self.register_to_config(sampler=plain)  # type: ignore[no-untyped-call]
        if prediction_type != "flow_prediction":
            self.alphas_cumprod = calls.alphas_cumprod(self.config)
        self.num_inference_steps: int | None = None
        self._use(own, None)

    @classmethod
    def from_sampler(
        cls,
        sampler: Sampler | Schedule | Sequence[float] | np.ndarray,
        scheduler: Any,
        solver: str | None = None,
        prediction_type: str | None = None,
    ) -> ARTScheduler:
        """Return a scheduler that samples with this sampler, for the model of another scheduler.

        It warns if only one of the two is for flow models.

        Args:
            sampler: a sampler, or a schedule or its (K+1,) levels σ, which the solver makes a sampler.
            scheduler: the scheduler of the pipeline.
            solver: euler, dpmpp_2m or another solver of one call a step. By default the schedule's, or else dpmpp_2m.
            prediction_type: what the network predicts, by default as the scheduler says.

        Raises:
            ValueError: for a solver of more calls a step, an unknown prediction type, a scheduler without a table of
                noise levels, a told level outside that table, or a setting of the scheduler that changes its steps.
        """
        config, name = check_scheduler(scheduler, "scheduler is").config, type(scheduler).__name__
        own = as_sampler(sampler, solver or getattr(sampler, "solver", None) or "dpmpp_2m")
        known = "flow_prediction" if name.startswith("FlowMatch") else config.get("prediction_type")
        prediction = prediction_type or known
        flow = prediction == "flow_prediction"
        calls.refuse_changes(scheduler, flow)
        calls.warn_of_another_kind(own, flow, name)
        # Values that the source has only by default may have another default here, so this mark is left out.
        found = {key: value for key, value in config.items() if key != "_use_default_values"}
        betas = {} if flow else calls.beta_config(scheduler)
        found |= {"_class_name": name, "prediction_type": prediction, "sampler": own, **betas}
        return cls.from_config(found)  # type: ignore[return-value]

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        sigmas: Sequence[float] | None = None,
        timesteps: Sequence[float] | None = None,
        mu: float | None = None,
    ) -> None:
        """Prepare to sample, by default with the sampler's K steps.

        Args:
            num_inference_steps: number of steps. Another one than K resamples the sampler.
            device: where to put the timesteps.
            sigmas, timesteps, mu: what pipelines of flow models pass. The sampler has its own levels, so only the
                number of sigmas or timesteps counts.

        Raises:
            ValueError: for another number of steps if the sampler cannot be resampled, and for sigmas or timesteps if
                the model is no flow model, because its pipelines pass only their user's.
        """
        given = timesteps if sigmas is None else sigmas
        if given is not None and self.config["prediction_type"] != "flow_prediction":
            raise ValueError(
                f"the sampler has levels of its own, but got {len(given)} others: leave sigmas= and timesteps= out"
            )
        if num_inference_steps is None and given is not None:
            num_inference_steps = len(given)
        own = Sampler(**self.config["sampler"])
        count = own.num_steps if num_inference_steps is None else int(num_inference_steps)
        self.num_inference_steps = count
        self._use(calls.resampled(own, count), device)

    def _use(self, sampler: Sampler, device: str | torch.device | None) -> None:
        """Take over the numbers of a sampler, and forget what was sampled before."""
        self.sampler, self._calls, self._plain = sampler, NetworkCalls.of(sampler, self), True
        self.timesteps = torch.tensor(self._calls.timesteps, dtype=torch.float32, device=device)
        self._places = self.timesteps.tolist()  # so that looking one up does not wait for the device
        if self.config["prediction_type"] == "flow_prediction":
            told = np.append(self._calls.told, 0.0)  # (K+1,)
            self.sigmas = torch.tensor(told / (1 + told), dtype=torch.float32, device=device)
        self.init_noise_sigma = sampler.sigmas[0] / float(self._calls.scales[0])
        self.step_index: int | None = None
        self.begin_index: int | None = None
        self._estimates: list[torch.Tensor] = []  # the latest first

    def _begin_at_image(self) -> None:
        """Tell the first call of a flow model the sampler's own level, because its latents are not plain noise."""
        self._calls, self._plain = NetworkCalls.of(self.sampler, self, plain=False), False
        self.init_noise_sigma = self.sampler.sigmas[0] / float(self._calls.scales[0])
        if self.config["prediction_type"] == "flow_prediction":  # in place, because the loop holds them already
            self.timesteps[0] = self._calls.timesteps[0]
            self.sigmas[0] = self._calls.told[0] / (1 + self._calls.told[0])
            self._places = self.timesteps.tolist()

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Say with which step sampling begins. Pipelines do so for image-to-image."""
        self.begin_index = begin_index

    def scale_model_input(self, sample: torch.Tensor, timestep: Any = None) -> torch.Tensor:
        """Return the latents unchanged, because they already have the scaling of the next call."""
        return sample

    def step(
        self,
        model_output: torch.Tensor,
        timestep: float | torch.Tensor,
        sample: torch.Tensor,
        return_dict: bool = True,
        generator: torch.Generator | None = None,
        eta: float = 0.0,
        use_clipped_model_output: bool | None = None,
    ) -> ARTSchedulerOutput | tuple[torch.Tensor, torch.Tensor]:
        """Step to the next level. Half precision is computed in float32 and cast back.

        Args:
            model_output: (B, *shape) output of the network, after guidance. If it has twice the channels, their second
                half is a predicted variance, which is not used.
            timestep: timestep of the call. Only the first step looks at it, to find out where sampling begins.
            sample: (B, *shape) latents that the network was called with.
            return_dict: return an `ARTSchedulerOutput`, and not its values as a pair.
            generator, eta, use_clipped_model_output: what pipelines pass. Nothing is random or clipped here.

        Raises:
            ValueError: for fresh noise (eta) or clipping, without ``set_timesteps``, after all K steps, for a timestep
                that is none of the sampler's, or for an output of another shape.
        """
        if eta or use_clipped_model_output:
            raise ValueError(f"a sampler adds no noise and clips nothing, got eta={eta:g}: leave such options out")
        k = self._next_step(timestep)
        x = sample.to(torch.promote_types(sample.dtype, torch.float32))
        estimate = self._calls.denoised(k, x, model_output.to(x.dtype))
        known = self._estimates = [estimate, *self._estimates][: self.sampler.memory]
        # If sampling began in the middle, there are fewer estimates than weights.
        mixed = mix(known, self.sampler.weights[k])
        ratio = self.sampler.sigmas[k + 1] / self.sampler.sigmas[k]
        scale, following = self._calls.scales[k : k + 2].tolist()
        x = ratio * scale * x + (1 - ratio) * mixed
        self.step_index = k + 1
        found = (x / following).to(sample.dtype), estimate.to(sample.dtype)
        return ARTSchedulerOutput(*found) if return_dict else found

    def _next_step(self, timestep: Any) -> int:
        if self.num_inference_steps is None:
            raise ValueError("step needs timesteps: call set_timesteps() before the first step, as pipelines do")
        if self.step_index is None:
            asked = float(torch.as_tensor(timestep).reshape(-1)[0])
            self.step_index = self._place(asked) if self.begin_index is None else self.begin_index
            if self.step_index == 0 and self._plain:
                calls.check_start(self.sampler, self.config["prediction_type"])
        if not 0 <= self.step_index < self.num_inference_steps:
            raise ValueError(
                f"step {self.step_index} is none of the sampler's, 0 to {self.num_inference_steps - 1}: call "
                f"set_timesteps() before the next samples"
            )
        return self.step_index

    def _place(self, timestep: float) -> int:
        if timestep not in self._places:
            raise ValueError(
                f"timestep {timestep:g} is none of the sampler's, {', '.join(f'{place:g}' for place in self._places)}: "
                f"pass an element of scheduler.timesteps"
            )
        return self._places.index(timestep)

    def add_noise(self, original_samples: torch.Tensor, noise: torch.Tensor, timesteps: Any) -> torch.Tensor:
        """Return (B, *shape) latents at the level of a step, from clean ones, for image-to-image and inpainting.

        Args:
            original_samples: (B, *shape) clean latents.
            noise: (B, *shape) standard normal noise.
            timesteps: (B,) or one, elements of `timesteps`. If a pipeline has set a begin index, the level is that of
                the next step instead.
        """
        asked = torch.as_tensor(timesteps).reshape(-1).tolist()
        if self.begin_index is None:
            places = [self._place(timestep) for timestep in asked]
        else:
            places = [self.begin_index if self.step_index is None else self.step_index]
        if self.step_index is None and not any(places):
            self._begin_at_image()
        x = original_samples.to(torch.promote_types(original_samples.dtype, torch.float32))
        sigmas, scales = (
            torch.tensor(numbers, dtype=x.dtype, device=x.device)[places].reshape(-1, *[1] * (x.ndim - 1))
            for numbers in (self.sampler.sigmas, self._calls.scales)
        )
        return ((x + sigmas * noise.to(x)) / scales).to(original_samples.dtype)

    def scale_noise(self, sample: torch.Tensor, timestep: Any, noise: torch.Tensor) -> torch.Tensor:
        """Do what `add_noise` does, under the name that pipelines of flow models call."""
        return self.add_noise(sample, noise, timestep)

    @property
    def coefficients(self) -> Coefficients:
        """The numbers in use, for `art_gym.samplers.follow`. A flow model's first told level is not the sampler's."""
        numbers = self.sampler.coefficients()
        return numbers._replace(told=self._calls.told / numbers.sigmas[:-1])
