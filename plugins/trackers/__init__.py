"""The trackers bundle: runs in TensorBoard, Weights & Biases, trackio and MLflow."""
