"""`python zero3_shim.py MODULE ARGS...` runs a training module; accelerate takes its processes for a group over gloo.

Without an accelerator, accelerate finds no backend for DeepSpeed and counts one process where there are several, and
transformers refuses bfloat16, which a CPU can do.
"""

import importlib
import os
import sys

import transformers.training_args
from accelerate.state import PartialState
from accelerate.utils import DistributedType

found_by_accelerate = PartialState._prepare_backend


def prepare_backend(self, *args, **kwargs):
    backend, kind = found_by_accelerate(self, *args, **kwargs)
    if backend is None and "LOCAL_RANK" in os.environ:
        return "gloo", DistributedType.MULTI_CPU
    return backend, kind


if __name__ == "__main__":
    PartialState._prepare_backend = prepare_backend
    transformers.training_args.is_torch_bf16_gpu_available = lambda: True
    sys.path.insert(0, os.getcwd())
    importlib.import_module(sys.argv[1]).main(sys.argv[2:], standalone_mode=True)
