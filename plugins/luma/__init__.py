"""The luma bundle: a restorer that keeps the known luma, predicts the colours and fills in the lost region."""
