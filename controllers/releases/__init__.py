"""From a commit or a package to a release: its tree, its locked dependencies, its virtualenvs, its bundle."""
