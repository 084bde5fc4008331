"""Variables over the processes of a mesh: sharding by pattern, by axis and by scope, on ``torch.distributed``."""

from ._calls import redistribute as redistribute
from ._shard import shard as shard
from ._units import fully_shard_scopes as fully_shard_scopes

__all__ = ["fully_shard_scopes", "redistribute", "shard"]
