"""Where images come from: `sources` reads and splits them, `pipeline` batches them."""
