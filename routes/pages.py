"""The pages: one view each, with what it needs from its address; everything else comes from the API."""

from pathlib import Path

from bottle import HTTPResponse, SimpleTemplate, template

from version import VERSION

# One list for ever: Bottle's cache goes by its identity.
VIEWS = [str(Path(__file__).resolve().parent.parent / "views")]
# Scripts and styles come from this server's files alone: neither inline code nor eval. Pico draws its icons from data: URLs.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "font-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
# What differs from other answers; api/envelope.py gives all of them the other security headers.
HEADERS = {
    "Content-Type": "text/html; charset=UTF-8",
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-cache",
}
NAME = "[^/]+"


def page(view, static, status=200, **values):
    """Return the response for a page: the view pages/`view`.html in the common layout. `static` is where its files are."""
    body = template(
        f"pages/{view}.html",
        template_lookup=VIEWS,
        template_adapter=SimpleTemplate,
        static=static,
        version=VERSION,
        **values,
    )
    return HTTPResponse(body, status=status, headers=HEADERS)


def mount(app, assets_version):
    """Add the pages to a Bottle application."""
    static = f"/static/v-{assets_version}"

    def show(address, view, title, script, **fixed):
        """Serve a view at an address; the names in the address are handed to the view as `subject`."""

        def handler(**names):
            subject = {key: str(value) for key, value in names.items()}
            return page(view, static, title=title.format(**subject), script=script, subject=subject, **fixed)

        app.route(address, "GET", handler)

    show("/", "overview", "Overview", "overview")
    show("/sign-in", "sign_in", "Sign in", "sign_in")
    show(f"/applications/<application:re:{NAME}>", "application", "{application}", "application")
    show("/deploys", "deploys", "Deploys", "deploys")
    show("/deploys/<deploy:int>", "deploy", "Deploy {deploy}", "deploy")
    show("/commands", "commands", "Commands", "commands")
    show("/commands/<command:int>", "command", "Command {command}", "command")
    show("/freezes", "freezes", "Freezes", "freezes")
    show("/integrations", "integrations", "Integrations", "integrations")
    show("/tokens", "tokens", "Tokens", "tokens")
    show("/audit", "audit", "Audit trail", "audit")
    show("/hosts", "hosts", "Hosts", "hosts")
    show(f"/hosts/<host:re:{NAME}>", "host", "{host}", "host")

    @app.get("/<path:re:(?!api/).+>")
    def unknown_page(path):
        return page("not_found", static, status=404, title="Not found", script="not_found", subject={})
