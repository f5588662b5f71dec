"""The environments: one core for the dynamics, with thin classes for Gymnasium, its vectors and stable-baselines3."""

from art_gym.common.lazy import exports

__all__, __getattr__, __dir__ = exports(
    __name__,
    env="ARTDiffusionEnv",
    vector_env="ARTDiffusionVectorEnv",
    sb3="ARTDiffusionVecEnv",
    config="EnvConfig load_config",
    observations="Observation",
)
