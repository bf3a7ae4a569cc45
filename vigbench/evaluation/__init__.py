"""Accuracy of a checkpoint on a folder of images, over resolutions: `vigbench evaluate`."""
