"""Several processes that train one network: devices, collectives, FSDP, BatchNorm over all processes."""
