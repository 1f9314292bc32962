"""The bundle of one generator: a U-Net over any timm backbone that gives feature maps."""
