"""Numbers that tell how good a trained model is, one file a family."""
