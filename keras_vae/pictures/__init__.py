"""Pictures made of arrays: grids, tables, charts. No TensorFlow."""
