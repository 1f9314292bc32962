"""Recipes: TOML files, their settings, and the plan that binds them to components."""
