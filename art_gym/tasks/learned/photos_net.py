"""Patches of photographs, by a network."""

from __future__ import annotations

from art_gym.tasks.images import photo_patches
from art_gym.tasks.network_task import NetworkTask, load_shipped
from art_gym.tasks.registry import task


@task
def photos_net() -> NetworkTask:
    """The network on 16×16 patches of two photographs, in colour."""
    network, fingerprint = load_shipped("photos")
    return NetworkTask(network, (3, 16, 16), fingerprint, photo_patches, "photos")
