"""From the file that names dependencies to virtualenvs with exactly those in them."""
