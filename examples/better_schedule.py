# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # A better schedule for your model
#
# You have a denoiser and want better noise levels for the same number of steps. This takes four steps: wrap the model,
# learn, look at the proof, sample.

# %%
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

import art_gym
from art_gym.agents.learn.budget import Budget
from art_gym.agents.learn.learner import Learner
from art_gym.schedules import make_grid

# %% [markdown]
# ## 1. Wrap the model
#
# A denoiser takes noisy data and the noise level of each sample, and returns the expected clean data. Here it is
# known exactly: the data are two narrow clusters. For a diffusers model, write `from_diffusers("path/to/pipeline")`
# instead.


# %%
def denoise(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """The posterior mean for two Gaussians of width 0.2 at ±1."""
    own, noise = 0.2**2, sigma[:, None] ** 2
    return (own * x + noise * np.tanh(x / (own + noise))) / (own + noise)


model = art_gym.FunctionDenoiser(denoise, shape=(1,), sigma_min=0.01, sigma_max=80.0, data_std=1.0)

# %% [markdown]
# ## 2. Learn
#
# The budget counts calls of the denoiser, one for each sample and level. A time works too: `Budget(seconds=600)`.

# %%
file = Path(mkdtemp()) / "schedule.json"
report = Learner(model, "two points", 6, "dpmpp_2m", Budget(evaluations=400_000), file, progress=False).run()

# %% [markdown]
# ## 3. Look at the proof
#
# The report compares the schedule with other grids on fresh noises, which no fit and no choice has used. Pictures are
# saved beside the file.

# %%
print(report[: report.index("Learning took")])

# %% [markdown]
# ## 4. Sample
#
# `sample` runs our solver. Any other sampler takes the levels.

# %%
schedule = art_gym.Schedule.load(file)
print([round(level, 4) for level in schedule.to_sigmas()])

noise = np.random.default_rng(0).standard_normal((2000, 1))
for name, levels in {"EDM": make_grid("edm", 6, model), "learned": schedule}.items():
    samples, _ = art_gym.sample(model, levels, noise, "dpmpp_2m")
    near = np.abs(np.abs(samples) - 1) < 0.6
    print(f"{name}: {near.mean():.1%} of the samples lie near a cluster; all of them should")
