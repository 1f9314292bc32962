"""The timm-unet bundle: a U-Net over any timm backbone that has feature maps."""
