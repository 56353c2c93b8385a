"""How the project is run: on one's own machine (`local`) and in containers."""
