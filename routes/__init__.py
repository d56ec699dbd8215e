"""HTML pages and static files of the dashboard.

The pages are shells: they hold no data and need no authentication. Their scripts ask /api/v1 for everything that is
shown, so what a person sees in the browser is exactly what any other client of the API gets.

    import routes
    routes.mount(app)
"""

from routes import assets, pages


def mount(app):
    """Add the pages, /static/… and the page for unknown addresses to a Bottle application; /api/ is left alone."""
    collected = assets.collect()
    assets.mount(app, collected)
    pages.mount(app, assets.version_of(collected))
