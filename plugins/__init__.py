"""The bundles that ship with toolbox, each a plugin in a folder of its own."""
