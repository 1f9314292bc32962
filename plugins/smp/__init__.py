"""The smp bundle: the decoders of segmentation-models-pytorch as generators, over every compatible encoder."""
