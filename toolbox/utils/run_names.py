"""Names of files in a run folder, for modules with and without torch."""

RECIPE = "recipe.toml"  # the bound recipe, every value explicit
BEST = "best.safetensors"  # the generator with the best validation
