"""What takes more than one request: releases, deploys, commands and preparations, from the start to the end."""
