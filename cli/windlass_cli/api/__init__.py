"""The API over HTTP: requests, errors, and streams of events."""
