"""Package indexes that speak PEP 503 or PEP 691: the Python Package Index, Artifactory, Nexus, devpi, pypiserver."""

from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict

from config import settings
from controllers.foreign import ForeignError
from controllers.foreign.artifacts.base import ArtifactDriver, Index


class PackageIndex(ArtifactDriver):
    """A Python package index; its URL is the one that lists packages, often ending in /simple."""

    name = "package-index"

    class Settings(BaseModel):
        """Nothing beyond the URL."""

        model_config = ConfigDict(extra="forbid")

    class Credentials(BaseModel):
        """A user name with its password, or a token alone, which is sent as a bearer token."""

        model_config = ConfigDict(extra="forbid", strict=True)
        username: str | None = None
        password: str | None = None
        token: str | None = None

    @classmethod
    def mistakes_together(cls, url, settings, credentials):
        """A URL is needed; a password needs its user name; a token needs neither."""
        mistakes = []
        if not url or not url.startswith(("https://", "http://")):
            mistakes.append(("url", "A package index needs its URL, such as https://pypi.example.net/simple."))
        if bool(credentials.get("username")) != bool(credentials.get("password")):
            mistakes.append(("credentials", "Give a user name and its password together."))
        if credentials.get("token") and credentials.get("password"):
            mistakes.append(("credentials", "Give a password or a token, not both."))
        return mistakes

    def index(self):
        """Return the integration's index, or the one of the setting build.index_url where there is no integration."""
        if self.access.name is None:
            return default_index()
        mistakes = self.mistakes_together(self.access.url, self.access.settings, self.access.credentials)
        if mistakes:
            raise ForeignError(f"The integration '{self.access.name}' cannot be used: {mistakes[0][1]}")
        return Index(self.access.url, **{key: value for key, value in self.access.credentials.items() if value})


def default_index():
    """Return the Index of the setting build.index_url; an empty one leaves it to uv's own configuration."""
    if not settings.build.index_url:
        return Index()
    return split(settings.build.index_url)


def split(url):
    """Return the Index of a URL that may hold a user name and a password."""
    parts = urlsplit(url)
    if parts.username is None:
        return Index(url)
    plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return Index(plain, username=unquote(parts.username), password=unquote(parts.password or ""))
