"""What plugins see and how they are loaded: protocols, specs, hooks, registry, manager, catalog."""
