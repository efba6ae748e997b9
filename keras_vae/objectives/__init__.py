"""What training minimizes, from the terms of one pass; the KL warm-up is in `elbo`."""
