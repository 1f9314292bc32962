"""Recipes: TOML files, their settings, and the plan that binding makes of them."""
