"""The options that are arguments of a diffusers pipeline."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class OfPipeline:
    """Arguments of a diffusers pipeline, whose own loop then makes every call.

    Attributes:
        prompts: text file with a prompt a line. A quarter of them is held out for the report.
        negative_prompt: of all prompts.
        guidance_scale: as the pipeline takes it.
        height, width: of the images or the video, in pixels.
        num_frames: of the video.
        class_labels: classes, for class-conditional pipelines. A quarter of them is held out for the report.
        whole: measure whole runs of the pipeline only, because it depends on the number of the step. This is the
            default where it is seen to do so.
        pipeline_args: YAML file with the pipeline's other arguments, such as guidance_rescale: 0.7 or image: photo.png.
    """

    prompts: Path | None = None
    negative_prompt: str | None = None
    guidance_scale: float | None = None
    height: int | None = None
    width: int | None = None
    num_frames: int | None = None
    class_labels: tuple[int, ...] = ()
    whole: bool = False
    pipeline_args: Path | None = None

    def pipeline_arguments(self) -> dict[str, Any]:
        """The arguments given, as the pipeline takes them.

        Raises:
            ValueError: for a file that cannot be read, or an argument given twice.
        """
        from ..learn.pipelines import read_arguments, read_prompts

        given = {field.name: getattr(self, field.name) for field in fields(OfPipeline)}
        prompts, others = given.pop("prompts"), given.pop("pipeline_args")
        found = {name: value for name, value in given.items() if not (value is None or value is False or value == ())}
        if prompts is not None:
            found["prompt"] = read_prompts(prompts)
        if "class_labels" in found:
            found["class_labels"] = list(found["class_labels"])
        more = {} if others is None else read_arguments(others)
        if twice := sorted(found.keys() & more):
            raise ValueError(f"{others} gives {twice[0]}, and so does an option: leave one of them out")
        return {**found, **more}
