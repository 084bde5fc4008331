"""The same start on all processes: one seed that they agree on."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh


def agreed_seed(mesh: DeviceMesh) -> int:
    """A seed that the first process of a mesh draws from torch's generator; the others get it and draw none."""
    seed = torch.zeros((), dtype=torch.int64, device="cpu")
    if not any(mesh.get_coordinate() or ()):
        seed = torch.randint(2**63 - 1, (), device="cpu")
    seed = seed.to(mesh.device_type)
    for dimension in range(mesh.ndim):  # along the first axis, then from those along the next
        group = mesh.get_group(dimension)
        dist.broadcast(seed, src=dist.get_global_rank(group, 0), group=group)
    return int(seed)
