"""Variables over the processes of a mesh: sharding by pattern, by axis and by scope, on ``torch.distributed``."""

from ._calls import redistribute as redistribute
from ._plan import Plan as Plan
from ._plan import plan as plan
from ._shard import shard as shard
from ._traffic import Traffic as Traffic
from ._units import fully_shard_scopes as fully_shard_scopes

__all__ = ["Plan", "Traffic", "fully_shard_scopes", "plan", "redistribute", "shard"]
