"""``tf.contrib.slim.utils``: outputs collected by their names, and small helpers for shapes."""

from .._layer import get_variable_collections as get_variable_collections
from ._utils import channel_dimension as channel_dimension
from ._utils import collect_named_outputs as collect_named_outputs
from ._utils import convert_collection_to_dict as convert_collection_to_dict
from ._utils import last_dimension as last_dimension
from ._utils import two_element_tuple as two_element_tuple

__all__ = [
    "channel_dimension",
    "collect_named_outputs",
    "convert_collection_to_dict",
    "get_variable_collections",
    "last_dimension",
    "two_element_tuple",
]
