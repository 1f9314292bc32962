"""Several processes that train one network: accelerate, collectives, FSDP, BatchNorm over all processes."""
