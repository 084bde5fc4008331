"""What an array of a checkpoint is for, by its name: a variable, or what only training needs."""

from __future__ import annotations

import re

AVERAGE = "/ExponentialMovingAverage"
_ATTRIBUTE = "/.ATTRIBUTES/VARIABLE_VALUE"
_STATE = "variables."
# What an optimizer of Keras calls itself, in a graph: its slots are below it, as Adam/dense/kernel/m.
_KERAS = r"(^|/)(Adadelta|Adagrad|Adam|Adamax|AdamW|Ftrl|LAMB|Lamb|Nadam|RMSprop|SGD)(_\d+)?/"
_ROLES = {
    "a slot of an optimizer": re.compile(
        r"/\.OPTIMIZER_SLOT/|/(Momentum|Adam|AdamW|LAMB|RMSProp|Adagrad|Adadelta|Ftrl|AdaMax|Nadam|Adafactor"
        r"|ProximalAdagrad|AdagradDA|AddSign|PowerSign|LARSOptimizer|Shampoo|SM3|Yogi|adam_[mv]|lamb_[mv])(_\d+)?$"
        r"|_slot_(m|v|vr|vc)$"
        r"|(^|/)(beta[12]_power|gradient_squared_accum|loss_scale)(_\d+)?$"
        rf"|{_KERAS}.+/(m|v|vhat|accumulator|accum_grad|accum_var|linear|mg|momentum|rms)$"
    ),
    "a part of an optimizer": re.compile(
        rf"((^|/)_?optimizer(_\d+)?/|{_KERAS})"
        r"(iter|_?iterations|_?(current_)?learning_rate|learning_rate_power|decay|momentum|rho"
        r"|beta(_[12])?|epsilon|momentum_cache|_u_product|l[12]_regularization_strength|_[a-z_]+/\d+)$"
    ),
    "a setting of training": re.compile(r"(^|/)learning_rate$"),
    "a count of steps": re.compile(r"(^|/)(global_step|save_counter)$"),
    "a moving average": re.compile(AVERAGE + r"(/(biased|local_step))?$"),
    "the graph of objects": re.compile(r"^_CHECKPOINTABLE_OBJECT_GRAPH$"),
}


def variable_name(name: str) -> str:
    """The name without what ``tf.train.Checkpoint`` puts behind, and a ``state_dict`` of ours before each."""
    return name.removesuffix(_ATTRIBUTE).removeprefix(_STATE)


def is_ours(name: str) -> bool:
    """Whether an array is of a ``state_dict`` of a ScopedModule: then it is in the module's own order of axes."""
    return name.startswith(_STATE)


def role(name: str) -> str | None:
    """What an array is if it is no variable of a model, in words."""
    return next((what for what, pattern in _ROLES.items() if pattern.search(name)), None)
