"""What training minimizes, from the terms of one pass of the model."""
