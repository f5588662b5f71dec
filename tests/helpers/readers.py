"""Every function that reads a file, by name, and the names under which some of them look for it in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from art_gym.agents.benchmark import results, submitted
from art_gym.agents.learn import pipelines
from art_gym.agents.learn.unfinished import Unfinished
from art_gym.agents.runs.folder import Run
from art_gym.agents.studies.study import Study
from art_gym.agents.training import networks
from art_gym.agents.training.policies import load_evaluator, load_policy
from art_gym.agents.training.state_file import read_state
from art_gym.common import reading
from art_gym.denoisers import from_diffusers, from_edm
from art_gym.denoisers.diffusers_folders import load_folder, load_scheduler
from art_gym.denoisers.networks import load_network
from art_gym.evaluation import families
from art_gym.evaluation.references import compute_all
from art_gym.samplers import Sampler
from art_gym.samplers.plans import load
from art_gym.schedules import Schedule, instant
from art_gym.tasks import noise_bank
from art_gym.tasks.references import load_references

ENDPOINTS = (256, 1)
READERS: dict[str, Callable[[Path], object]] = {
    "bytes": reading.read_bytes,
    "text": reading.read_text,
    "json": reading.read_json,
    "yaml": reading.read_yaml,
    "schedule": Schedule.load,
    "sampler": Sampler.load,
    "plan": load,
    "references": lambda file: load_references.__wrapped__(file),
    "family grids": families.stored_grids,
    "candidates": lambda file: compute_all((), (), (), file.with_name("none"), candidates=[file]),
    "instant policy": lambda file: instant.load_policy.__wrapped__(file),
    "network": load_network,
    "edm": from_edm,
    "endpoints": lambda file: noise_bank.load_endpoints(file, ENDPOINTS),
    "state": read_state,
    "history": lambda file: Run(file.parent).history(),
    "configuration": lambda file: Run(file.parent).config(),
    "best policy": lambda file: load_policy(file.parent, 2),
    "evaluator": lambda file: load_evaluator(Run(file.parent)),
    "records": lambda file: Study(file.parent.name, file.parent.parent).records(),
    "results": lambda file: results.read([file]),
    "submission": lambda file: submitted.check(file, 0),
    "unfinished": lambda file: Unfinished.load(file, "x"),
    "model": lambda file: from_diffusers(file.parent),
    "folder": lambda file: load_folder(file.parent),
    "prompts": pipelines.read_prompts,
    "pipeline arguments": pipelines.read_arguments,
    "scheduler": lambda file: load_scheduler(file.parent),
    "network checkpoint": lambda file: networks._load(file, 0, *[None] * 3),  # type: ignore[arg-type]
}
DATA = (  # they give data, or make it anew
    *("bytes", "text", "json", "yaml", "endpoints", "candidates", "records"),
    *("prompts", "pipeline arguments", "results"),
)
NAMES = {  # under which the readers of folders look for what they read
    "history": "history.json",
    "configuration": "config.yaml",
    "best policy": "best.pt",
    "evaluator": "best.pt",
    "records": "results.jsonl",
    "model": "model_index.json",
    "folder": "config.json",
    "scheduler": "scheduler_config.json",
}
