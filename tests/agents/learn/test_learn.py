"""`art-gym learn`: a better schedule with proof, within its budget, whatever stops it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from copy import copy
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from art_gym.agents.cli.main import main
from art_gym.agents.learn import learner as learn
from art_gym.agents.learn import loading, searches
from art_gym.agents.learn.book import Book
from art_gym.agents.learn.budget import Budget, BudgetSpent, Metered
from art_gym.agents.learn.learner import Learner
from art_gym.agents.learn.report import Proof
from art_gym.agents.learn.trial import Noises, Trial
from art_gym.agents.reports import pictures
from art_gym.agents.reports.comparison import label
from art_gym.agents.training.hyperparams import load_hyperparams
from art_gym.denoisers import FunctionDenoiser, from_diffusers
from art_gym.denoisers.base import visible
from art_gym.evaluation.heldout import evaluate_levels
from art_gym.measures.errors import endpoint_error
from art_gym.schedules import Schedule, make_grid
from art_gym.search.gauss_newton import GaussNewton
from art_gym.solvers.base import get_solver
from art_gym.solvers.loop import integrate
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target


@pytest.mark.parametrize(
    ("text", "seconds", "evaluations"),
    [("90s", 90, np.inf), ("10m", 600, np.inf), ("1.5h", 5400, np.inf), ("200000NFE", np.inf, 200000)],
)
def test_budgets(text: str, seconds: float, evaluations: float) -> None:
    assert Budget.parse(text) == Budget(seconds, evaluations)


@pytest.mark.parametrize("text", ["ten minutes", "10", "0s", "-5m"])
def test_bad_budgets(text: str) -> None:
    with pytest.raises(ValueError, match=r"write it as 90s, 10m, 1\.5h or 200000nfe"):
        Budget.parse(text)


def test_meter_stops() -> None:
    shares: list[float] = []
    metered = Metered(get_task("gaussian_1d"), Budget(evaluations=10), lambda: shares.append(metered.share))
    x, sigma = np.ones((6, 1)), np.ones(6)
    metered(x, sigma)
    metered(x, sigma)
    with pytest.raises(BudgetSpent):
        metered(x, sigma)
    assert metered.evaluations == 12
    assert shares == [0.6, 1.2]


def nothing_found(*_: object) -> Iterator[None]:
    """A search that ends without a candidate."""
    yield from ()
    return []


@pytest.mark.parametrize("solver", ["dpmpp_2m", "heun"])
def test_learns_within_a_budget_of_evaluations(solver: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "schedule.json"
    arguments = ["learn", "--task", "ring_2d", "--steps", "6", "--solver", solver, "--budget", "600000nfe"]
    assert main([*arguments, "-o", str(out), "--no-progress"]) == 0
    report = capsys.readouterr().out
    assert "learned is better on" in report
    assert "the budget was spent" in report
    stages = ("closed form", "precise endpoints", "hand-made grids", "closed forms", "Gauss-Newton")
    assert [report.index(f"{stage} until") for stage in stages] == sorted(report.index(f"{s} until") for s in stages)
    assert "| ART closed form |" in report
    assert "| EDM, tuned |" in report
    assert "did not pay for EDM's" not in report
    assert "The precise endpoints themselves are" in report
    assert "say little" not in report
    assert "steps for what the learned schedule does in 6: " in report or "EDM does not reach in 24 steps" in report
    schedule = Schedule.load(out)
    assert schedule.num_steps == 6
    assert schedule.task == "ring_2d"
    assert schedule.heldout_error is not None
    learned = evaluate_levels(Target.of("ring_2d", solver), schedule).error
    hand_made = [
        evaluate_levels(Target.of("ring_2d", solver), make_grid(name, 6, get_task("ring_2d"))).error
        for name in ("edm", "cosine", "arctan", "log_snr")
    ]
    assert learned < 0.9 * min(hand_made)
    assert schedule.heldout_error == pytest.approx(learned, rel=0.25)  # on noises of its own
    assert {file.name for file in tmp_path.iterdir()} == {
        "schedule.json",
        "schedule_report.md",
        "schedule_schedules.png",
        "schedule_samples.png",
        "schedule_progress.png",
    }


def test_endpoints_that_are_not_precise_are_said(tmp_path: Path) -> None:
    def rough(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        return np.sin(300 * np.log(sigma))[:, None] * np.tanh(x)

    learner = Learner(
        FunctionDenoiser(rough, (2,)), "rough", 5, "euler", Budget(evaluations=60_000), tmp_path / "s.json"
    )
    report = learner.run()
    warned = report.index("errors that are not much larger say little")
    assert warned < report.index("Mean endpoint error on")
    assert "EDM" not in report[:warned]
    for headline in ("EDM needs", "EDM does not reach", "EDM's grid is as good"):
        assert headline not in report


def test_the_faster_number_of_threads_is_kept() -> None:
    before = torch.get_num_threads()
    try:
        for slow in (1, 2):
            torch.set_num_threads(2)
            learn._choose_threads(lambda slow=slow: time.sleep(0.05 * (torch.get_num_threads() == slow)))
            assert torch.get_num_threads() == 3 - slow
    finally:
        torch.set_num_threads(before)


def test_small_budget_leaves_the_closed_form(tmp_path: Path) -> None:
    learner = Learner(
        get_task("gaussian_1d"), "mine", 5, "euler", Budget(evaluations=2000), tmp_path / "s.json", progress=False
    )
    for kind in ("samples", "progress"):
        (tmp_path / f"s_{kind}.png").touch()  # of an earlier run
    report = learner.run()
    assert "this is the closed form alone" in report
    assert "Give at least 20,160 evaluations, which take" in report
    assert "closed form until" in report
    assert "precise endpoints until" in report
    assert [line for line in report.splitlines() if line.startswith("![")] == ["![schedules](s_schedules.png)"]
    assert Schedule.load(tmp_path / "s.json").method == "ART closed form"


def test_a_report_without_the_tuned_grid_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "FEWEST_TUNED", 2000)
    budget, out = Budget(evaluations=60_000), tmp_path / "s.json"
    report = Learner(get_task("gaussian_1d"), "mine", 5, "euler", budget, out, progress=False).run()
    assert "| EDM ρ=7 |" in report
    assert "| EDM, tuned |" not in report
    assert "The budget did not pay for EDM's grid with its parameters tuned" in report


@pytest.mark.parametrize("agent", ["ppo", "art_rl"])
def test_an_agent_goes_on_where_gauss_newton_stops(agent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a bad start, so that there is something to improve: the agent's grids are offered, and its name stays."""
    monkeypatch.setattr(searches, "screening", nothing_found)
    monkeypatch.setattr(searches, "art", lambda denoiser, num_steps, start: make_grid("edm", num_steps, denoiser))
    monkeypatch.setattr(searches, "HAND_MADE", ("edm",))
    monkeypatch.setattr(searches, "DUAL_FORMS", {})
    budget = Budget(evaluations=300_000)
    learner = Learner(
        get_task("gaussian_1d"), "mine", 4, "euler", budget, tmp_path / "s.json", progress=False, agent=agent
    )
    assert f"| {agent} |" in learner.run()
    assert Schedule.load(tmp_path / "s.json").method == agent
    edm, best = learner.book.history[0].error, learner.book.history[-1].error
    assert best < 0.8 * edm
    assert learner.meter.evaluations < 1.01 * budget.evaluations + 200_000  # the report is made on top


def test_an_agent_that_diverges_ends_in_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverging(*given: Any) -> dict[str, Any]:
        return {**load_hyperparams(*given), "gamma": float("nan")}

    monkeypatch.setattr("art_gym.agents.training.setup.load_hyperparams", diverging)
    monkeypatch.setattr(searches, "screening", nothing_found)
    out = tmp_path / "s.json"
    learner = Learner(
        get_task("gaussian_1d"), "mine", 4, "euler", Budget(evaluations=200_000), out, progress=False, agent="ppo"
    )
    report = learner.run()
    assert "the network of PPO gave NaN" in report
    assert "| EDM ρ=7 |" in report
    assert report == (tmp_path / "s_report.md").read_text()
    assert Schedule.load(out).heldout_error is not None


def test_a_schedule_that_is_there_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "s.json"
    out.write_text("proven")
    assert main(["learn", "--task", "gaussian_1d", "--budget", "5s", "-o", str(out), "--no-progress"]) == 2
    assert "s.json exists already" in capsys.readouterr().err
    assert out.read_text() == "proven"
    out.rename(tmp_path / "kept.json")
    (tmp_path / "s_report.md").write_text("proof of kept.json")
    assert main(["learn", "--task", "gaussian_1d", "--budget", "5s", "-o", str(out), "--no-progress"]) == 2
    assert "s_report.md exists already" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("raises", [False, True])
def test_a_model_that_fails_late_leaves_the_best_so_far(raises: bool, tmp_path: Path) -> None:
    calls = 0

    def late(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += len(x)
        if calls > 60_000 and raises:
            raise RuntimeError("the power failed")
        return x / (1 + sigma[:, None] ** 2) if calls < 60_000 else x + np.nan

    out = tmp_path / "s.json"
    task = FunctionDenoiser(late, (2,), data_std=1.0)
    learner = Learner(task, "late", 5, "euler", Budget(evaluations=100_000), out, progress=False)
    with pytest.raises(
        RuntimeError if raises else ValueError, match="power failed" if raises else "not finite"
    ) as said:
        learner.run()
    kept = rf"{out} holds the best schedule so far \(.*, error 0\.\d+ on the noises chosen on\), without a report"
    assert re.search(kept, said.value.__notes__[0] if raises else str(said.value))
    assert Schedule.load(out).num_steps == 5
    assert calls > 60_000


def test_a_denoiser_that_cannot_be_called_as_one_is_refused_at_once(tmp_path: Path) -> None:
    def in_place(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        x /= 1 + sigma[:, None] ** 2
        return x

    out = tmp_path / "s.json"
    learner = Learner(FunctionDenoiser(in_place, (2,)), "mine", 4, "euler", Budget(evaluations=10_000), out)
    with pytest.raises(ValueError, match="changes its argument x in place"):
        learner.run()
    assert not out.exists()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interruption_keeps_the_best(sent: signal.Signals, tmp_path: Path) -> None:
    """SIGTERM is what timeout, SLURM and docker send."""
    out = tmp_path / "s.json"
    command = [sys.executable, "-m", "art_gym.agents", "learn", "--task", "mixture_1d", "--budget", "10m"]
    process = subprocess.Popen(
        [*command, "-o", str(out), "--no-progress"],
        stdout=subprocess.PIPE,
        text=True,
        # a shell's background jobs, this suite among them, ignore Ctrl-C, and hand that on
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.time() + 60
    while not out.exists() and time.time() < deadline:
        time.sleep(0.1)
    time.sleep(2)
    os.kill(process.pid, sent)
    report, _ = process.communicate(timeout=60)
    assert "it was interrupted" in report
    assert process.returncode == 0
    assert Schedule.load(out).num_steps == 8


def test_interruption_of_the_report_says_what_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(Learner, "_report", interrupted)
    out = tmp_path / "s.json"
    assert main(["learn", "--task", "mixture_1d", "--budget", "30000nfe", "-o", str(out), "--no-progress"]) == 130
    assert f"art-gym: interrupted; {out} holds the best schedule so far, without a report" in capsys.readouterr().err
    assert Schedule.load(out).num_steps == 8


def test_bad_models(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for arguments, message in (
        (["--model", str(tmp_path / "none")], "no folder of a diffusers model"),
        (["--model", str(tmp_path / "network.pkl")], "is a pickle"),
        (["--model", str(tmp_path / "none"), "--solver", "eulr"], "unknown solver 'eulr'"),  # before a model is loaded
        (["--model", str(tmp_path / "none"), "--seed", "-1"], "a seed is a whole number of at least 0, got -1"),
        ([], "name either --model"),
        (
            ["--task", "digits", "--max-batch", "8", "--device", "cuda"],
            "only with --model can there be --device, --max-batch",
        ),
        (["--task", "digits", "--shape", "1", "8", "8"], "only with --model can there be --shape"),
        (["--task", "digits", "--steps", "1"], "from 2 to 1000 steps, got 1"),
        (["--task", "digits", "--steps", "1001"], "from 2 to 1000 steps, got 1001"),
        (["--task", "digits", "--budget", "soon"], "cannot read the budget"),
        (["--task", "digits", "--agent", "ppa"], "unknown algorithm 'ppa'"),
        (["--task", "digits", "--agent", "cma"], "'cma' is no RL agent: leave --agent out"),
        (["--task", "digits", "--agent", "dqn"], "'dqn' is for discrete actions"),
    ):
        assert main(["learn", *arguments, "--no-progress", "-o", str(tmp_path / "s.json")]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def of_any_size(model: Any) -> Any:
    """The model, whose configuration does not say the size of its latents any more."""
    model.register_to_config(sample_size=None)
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("prediction", ["sample", "v_prediction"])
def test_what_a_saved_model_does_not_say(
    prediction: str, tmp_path: Path, tiny_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shape of its latents, and that its scheduler is mistaken about what it predicts."""
    import diffusers

    model, scheduler, handed = tiny_model(), diffusers.DDPMScheduler(), []
    diffusers.DDPMPipeline(of_any_size(model), scheduler).save_pretrained(tmp_path / "model")
    monkeypatch.setattr(learn, "Learner", lambda denoiser, *_: handed.append(denoiser) or SimpleNamespace(run=str))
    said = ["--prediction-type", prediction, "--rounding", "--shape", "2", "12", "8", "--max-memory", "0.001"]
    assert main(["learn", "--model", str(tmp_path / "model"), *said, "-o", str(tmp_path / "s.json")]) == 0
    denoiser = handed[0]
    expected = from_diffusers(model, scheduler, prediction_type=prediction, rounding=True, shape=(2, 12, 8))
    x, sigma = np.ones((1, 2, 12, 8), np.float32), np.ones(1, np.float32)
    assert denoiser.shape == (2, 12, 8)
    assert 1 < denoiser.max_batch["network"] < 64
    np.testing.assert_allclose(denoiser(x, sigma), expected(x, sigma), rtol=1e-5, atol=1e-6)
    for missing in ({"rounding": True}, {"prediction_type": prediction}):
        plain = from_diffusers(model, scheduler, shape=(2, 12, 8), **missing)
        assert not np.allclose(denoiser(x, sigma), plain(x, sigma))


@pytest.mark.filterwarnings("ignore")
def test_saved_models_that_cannot_be_used(tmp_path: Path, tiny_model: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """One line of ours, and none of what model libraries say."""
    import diffusers

    tiny_model().save_pretrained(tmp_path / "model")
    diffusers.DDPMScheduler().save_pretrained(tmp_path / "ddpm")
    diffusers.EDMEulerScheduler().save_pretrained(tmp_path / "edm")
    tiny_model().half().save_pretrained(tmp_path / "half", variant="fp16")
    of_any_size(tiny_model()).save_pretrained(tmp_path / "free")
    model = ["--model", str(tmp_path / "model"), "--scheduler", str(tmp_path / "ddpm")]
    half = ["--model", str(tmp_path / "half")]
    capfd.readouterr()
    for arguments, message in (
        ([*model, "--variant", "fp16"], "its weights were saved without a variant: leave variant (--variant) out"),
        ([*half, *model[2:]], "its weights were saved as variant 'fp16': choose with variant= (--variant)"),
        ([*model, "--device", "foo"], "cannot use the device 'foo'"),
        ([*model[:3], str(tmp_path / "free")], "free holds a UNet2DModel, which is no scheduler of diffusers: give"),
        (["--model", str(tmp_path / "ddpm"), *model[2:]], "a DDPMScheduler is no network: pass a pipeline or a model"),
        ([*model[:3], str(tmp_path / "edm")], "no table of noise levels"),
        (model[:2], "pass its scheduler too (--scheduler)"),
        ([*model, "--prediction-type", "score"], "choose one of epsilon, v_prediction, sample, flow_prediction with"),
        ([*model, "--max-memory", "1e-6"], "GiB of tensors, more than max_memory = 1e-06 GiB: give more, or a smaller"),
        ([*model, "--max-memory", "0"], "max_memory must be a positive number of GiB, got 0.0"),
        ([*model, "--shape", "3", "8", "8"], "cannot be run on latents of shape (1, 3, 8, 8)"),
        ([*model, "--shape", "2", "9", "8"], "cannot be run on latents of shape (1, 2, 9, 8)"),
        ([*model, "--shape", "2", "0", "8"], "tuple of positive whole numbers, got (2, 0, 8)"),
        (["--model", str(tmp_path / "free"), *model[2:]], "does not say its latents' shape: pass shape="),
    ):
        assert main(["learn", *arguments, "--no-progress", "-o", str(tmp_path / "s.json")]) == 2
        error = capfd.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_what_will_not_do_at_the_end_is_said_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """A file that cannot be written, an agent that cannot train: before the model is loaded and anything computed."""
    monkeypatch.setattr(loading, "load_model", lambda *_, **__: pytest.fail("loaded"))
    (tmp_path / "file").touch()
    for out, agent, message in (
        (tmp_path, "ppo", "is a folder: name a file in it"),
        (tmp_path / "file" / "s.json", "ppo", "cannot write to"),
        (tmp_path / "s.json", "DQN", "'DQN' is for discrete actions"),
    ):
        assert main(["learn", "--model", "any", "-o", str(out), "--agent", agent, "--no-progress"]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.01), (0.3, 0.6)])
def test_model_that_is_not_finite(low: float, high: float, tmp_path: Path) -> None:
    """At the ends of its range or between: the level is named."""

    def broken(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        return np.where((low < sigma[:, None]) & (sigma[:, None] < high), np.nan, x / (1 + sigma[:, None] ** 2))

    task = FunctionDenoiser(broken, (2,), data_std=1.0)
    learner = Learner(task, "broken", 5, "euler", Budget(seconds=5), tmp_path / "s.json", progress=False)
    with pytest.raises(ValueError, match=r"not finite at sigma = 0\.\d+: check its noise range") as found:
        learner.run()
    level = float(str(found.value).partition("sigma = ")[2].partition(":")[0])
    assert low < level < high


def test_interruption_before_anything_was_found(tmp_path: Path) -> None:
    def interrupted(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        raise KeyboardInterrupt

    task = FunctionDenoiser(interrupted, (2,))
    learner = Learner(task, "mine", 5, "euler", Budget(seconds=5), tmp_path / "s.json", progress=False)
    with pytest.raises(ValueError, match=r"it was interrupted before the closed form .*: nothing was written"):
        learner.run()
    learner = Learner(
        get_task("ring_2d"), "ring_2d", 5, "euler", Budget(evaluations=9), tmp_path / "s.json", progress=False
    )
    with pytest.raises(ValueError, match=r"the budget was spent before .* ten times as much"):
        learner.run()


def test_carried_channels_do_not_dilute_errors(tmp_path: Path) -> None:
    """Neither where grids are compared nor in the environment of an agent, which sees the metered denoiser."""
    task = get_task("digits_class")
    learner = Learner(task, "digits_class", 5, "euler", Budget(seconds=60), tmp_path / "s.json", progress=False)
    start = 40 * np.random.default_rng(0).standard_normal((8, *task.shape)).astype(np.float32)
    noises = Noises(start, np.zeros_like(start))
    levels = make_grid("edm", 5, task)
    samples = integrate(task, levels, start, "euler")
    assert learner.trial.error(levels, noises) == pytest.approx(
        endpoint_error(samples[:, :1], 0 * samples[:, :1]).mean()
    )
    assert visible(start, learner.meter).shape[1] == 1


@pytest.mark.parametrize("decoded", [False, True])
def test_the_same_noises_are_drawn_by_three_ways(
    decoded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without channels that carry a condition; as images, where the model decodes its latents."""
    drawn: dict[str, np.ndarray] = {}
    monkeypatch.setattr(pictures, "samples", lambda file, panels, data=None: drawn.update(panels))
    model = copy(get_task("digits_class"))
    if decoded:
        model.decode = lambda x: 1 - np.repeat(x, 2, axis=-1)
    trial = Trial(model, Metered(model, Budget()), get_solver("euler"))
    start = 40 * np.random.default_rng(0).standard_normal((3, *model.shape)).astype(np.float32)
    noises = Noises(start, np.ones_like(start))
    grids = {label(name): make_grid(name, 4, model) for name in ("edm", "cosine", "arctan")}
    grids["learned"] = grids.pop("arctan")
    Proof(trial, noises, grids).draw(tmp_path / "samples.png")
    assert list(drawn) == ["EDM ρ=7, K = 4", "learned, K = 4", "precise"]
    expected = [integrate(model, grids[name], start, "euler") for name in ("EDM ρ=7", "learned")] + [noises.endpoints]
    for found, latents in zip(drawn.values(), expected, strict=True):
        np.testing.assert_array_equal(found, model.decode(latents[:, :1]) if decoded else latents[:, :1])


def test_as_many_noises_as_the_budget_pays_for(tmp_path: Path) -> None:
    """A batch takes hardly longer than a sample on most machines: the speed of small batches says nothing."""

    def slow(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        time.sleep(0.002)
        return x / (1 + sigma[:, None] ** 2)

    task = FunctionDenoiser(slow, (2,), data_std=1.0)
    learner = Learner(task, "mine", 5, "euler", Budget(seconds=5), tmp_path / "s.json", progress=False)
    learner._closed_form()
    sets = learner._noises()
    assert sum(len(part.start) for part in sets) >= 3 * learn.CHUNK  # five or six of about 0.25 s
    assert learner.meter.share < 0.6


def test_dual_weighted_closed_forms_are_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GaussNewton, "improving", lambda self, logits, steps: nothing_found())
    monkeypatch.setattr(searches, "screening", nothing_found)
    monkeypatch.setattr(searches, "HAND_MADE", ("edm",))
    drawn: dict[str, object] = {}
    monkeypatch.setattr(
        pictures, "training_curve", lambda file, steps, errors, _, x_label, **options: drawn.update(x=x_label)
    )
    offered: list[str] = []
    keep = Book.offer
    monkeypatch.setattr(
        Book, "offer", lambda self, method, levels: (offered.append(method), keep(self, method, levels))
    )

    def stop(*_: object, **__: object) -> object:
        raise BudgetSpent

    monkeypatch.setattr(searches, "evolve", stop)
    budget = Budget(evaluations=1_000_000)
    task = get_task("gaussian_1d")
    learner = Learner(task, "gaussian_1d", 6, "euler", budget, tmp_path / "s.json", progress=False)
    learner.run()
    assert set(searches.DUAL_FORMS) <= set(offered)
    assert learner.book.history[-1].method in searches.DUAL_FORMS  # near the optimum for Euler on a Gaussian
    assert drawn == {"x": "seconds"}


@pytest.mark.filterwarnings("ignore")
def test_learns_for_a_saved_diffusers_model(tmp_path: Path, tiny_model: Any, capfd: pytest.CaptureFixture[str]) -> None:
    import diffusers

    diffusers.DDPMPipeline(tiny_model(), diffusers.DDPMScheduler()).save_pretrained(tmp_path / "pipeline")
    out = tmp_path / "schedule.json"
    arguments = ["learn", "--model", str(tmp_path / "pipeline"), "--steps", "4", "--budget", "6s", "-o", str(out)]
    capfd.readouterr()
    assert main([*arguments, "--dtype", "bfloat16", "--no-progress"]) == 0
    assert Schedule.load(out).num_steps == 4
    assert capfd.readouterr().err == ""  # none of what diffusers says
    assert main(["evaluate", str(out)]) == 2
    assert "'pipeline', a model of your own, which is no task" in capfd.readouterr().err
