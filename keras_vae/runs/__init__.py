"""Run folders: what they hold, and the way from one to its model and back."""
